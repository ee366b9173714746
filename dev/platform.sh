# shellcheck shell=bash
# The operator, the Secrets and the WalletPlatform of the stack, and the progress that is shown meanwhile. Sourced after stack.sh.

# operator_up IMAGE
operator_up() {
  h upgrade --install wallex-operator "$REPO/charts/wallex-operator" --namespace "$OPERATOR_NAMESPACE" --create-namespace \
    --set "image.repository=${1%:*}" --set "image.tag=${1##*:}" --set image.pullPolicy=IfNotPresent --wait --timeout 3m
  k wait --for=condition=Established crd/walletplatforms.wallex.dev --timeout=30s
}

# secret_up NAME VALUE: passes the value through standard input, because every user can read a program's arguments.
secret_up() {
  printf '%s' "$2" | k -n "$NAMESPACE" create secret generic "$1" --from-file=url=/dev/stdin --dry-run=client -o yaml |
    k apply --server-side --force-conflicts -f -
}

# platform_up IMAGE PATCH: the example object with this stack's image and addresses, and a JSON merge patch on top.
platform_up() {
  k apply -f "$DEV/example/namespace.yaml"
  secret_up "$PLATFORM-database" "$DATABASE_URL"
  [ -z "$REDIS_URL" ] || secret_up "$PLATFORM-redis" "$REDIS_URL"
  platform_object "$@" | k apply -f -
}

platform_object() {
  jq -nc --arg image "$1" --arg kafka "$KAFKA_BOOTSTRAP_SERVERS" --arg redis "$REDIS_URL" --argjson patch "$2" \
    '{spec: ({image: $image, kafka: {bootstrapServers: $kafka}} + (if $redis == "" then {redis: null} else {} end))} * $patch' |
    k patch --local -f "$DEV/example/platform.yaml" --type=merge --patch-file=/dev/stdin -o json
}

# --- waiting -----------------------------------------------------------------------------------------------------

# platform_progress: one line that says what is not ready yet.
platform_progress() {
  k -n "$NAMESPACE" get walletplatform "$PLATFORM" -o json | jq -r '
    [(.status.conditions // [] | .[] | select(.type == "Ready") | .reason + (if (.message // "") == "" then "" else ": " + .message end)),
     (.status.components // [] | map(select((.ready // 0) < (.desired // 0)) | "\(.name) \(.ready // 0)/\(.desired)") | select(length > 0) | join(", "))]
    | if . == [] then "the operator has not seen it yet" else join(" | ") end'
}

# Ready for the object as it is now: a condition may still describe an earlier generation.
platform_ready() {
  k -n "$NAMESPACE" get walletplatform "$PLATFORM" -o json | jq -e '
    .metadata.generation as $now | .status
    | .observedGeneration == $now and any(.conditions[]; .type == "Ready" and .status == "True" and (.observedGeneration // $now) == $now)'
}

# platform_wait SECONDS
platform_wait() {
  local deadline=$((SECONDS + $1)) line shown=
  until platform_ready >/dev/null 2>&1; do
    line=$(platform_progress 2>/dev/null || echo "no answer from the cluster")
    if [ "$line" != "$shown" ]; then
      echo "      $line"
      shown=$line
    fi
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.5
  done
  k -n "$NAMESPACE" wait --for=condition=Ready "walletplatform/$PLATFORM" --timeout=10s >/dev/null
}

# diagnose: what to check first, shortened on the screen and in full in the log folder.
diagnose() {
  local k=(k --request-timeout=10s)
  local file=$LOGS/diagnosis.log pod
  {
    echo "--- conditions"
    "${k[@]}" -n "$NAMESPACE" get walletplatform -o json |
      jq -r '.items[] | .metadata.name as $name | .status.conditions[]? | "\($name) \(.type)=\(.status) \(.reason): \(.message)"'
    echo "--- pods"
    "${k[@]}" get pods -A -o wide
    echo "--- events"
    "${k[@]}" get events -A --sort-by=.lastTimestamp | tail -n 25
    for pod in $("${k[@]}" get pods -A -o json | jq -r --arg ns "$NAMESPACE $OPERATOR_NAMESPACE" \
      '.items[] | select(.metadata.namespace as $n | $ns | split(" ") | index($n)) | .metadata.namespace + "/" + .metadata.name'); do
      echo "--- log of $pod"
      "${k[@]}" -n "${pod%/*}" logs "${pod#*/}" --all-containers --tail=200 >"$LOGS/pod-${pod#*/}.log" 2>&1
      tail -n 12 "$LOGS/pod-${pod#*/}.log"
    done
  } >"$file" 2>&1 || true
  cat "$file" >&2
}
