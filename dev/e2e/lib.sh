# shellcheck shell=bash
# Helpers of the tests. Sourced after stack.sh and platform.sh; PLATFORM in NAMESPACE is the one that `make up` creates.

# --- data ----------------------------------------------------------------------------------------------------------

sql() { psql -X -A -t -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -c "$1"; }
events() { sql "SELECT sum(last_seq) FROM journal.partition"; }
more_events_than() { [ "$(events)" -gt "$1" ]; }
bench() { (bench_in_place "$@"); }
# bench_in_place ARGS…: for background use: the shell becomes the program, so that a signal to `$!` reaches it.
bench_in_place() {
  WALLEX_LOG=warn exec "$(programs)/wallex-bench" --api "$(api_url)" --database-url "$DATABASE_URL" "$@"
}

# wallets FILE: every wallet as the API returns it, ordered by id.
wallets() {
  local api
  api=$(api_url)
  sql "SELECT '$api/v1/wallets/' || wallet_id FROM journal.head ORDER BY wallet_id" |
    xargs curl -sS -f --max-time 60 -w '\n' | jq -c '{id, currency, balance, held, available, version}' >"$1"
  [ -s "$1" ] || die "there are no wallets to compare"
}

# new_database NAME: an empty database of the same user; prints its URL.
new_database() {
  sql_as_superuser <<<"DROP DATABASE IF EXISTS $1 WITH (FORCE); CREATE DATABASE $1 OWNER wallex;" >&2
  echo "${DATABASE_URL%/*}/$1"
}
drop_database() { sql_as_superuser <<<"DROP DATABASE IF EXISTS $1 WITH (FORCE);"; }

# nothing_parked: every projection could apply every event.
nothing_parked() {
  local parked
  parked=$(sql "SELECT (SELECT count(*) FROM ledger.parked) + (SELECT count(*) FROM read_model.parked)")
  [ "$parked" = 0 ] || die "events are parked: $parked"
}

# kafka_tool CLASS ARGS…: one of Kafka's own programs, such as org.apache.kafka.tools.TopicCommand.
kafka_tool() {
  local class=$1
  shift
  mkdir -p "$STATE/e2e/kafka-tool"
  (KAFKA_TMP=$STATE/e2e/kafka-tool KAFKA_HEAP=128m KAFKA_COMPILER=1 && kafka_java "$class" --bootstrap-server "$KAFKA_BOOTSTRAP_SERVERS" "$@")
}
topic() { kafka_tool org.apache.kafka.tools.TopicCommand "$@"; }
# The broker renames a topic's folders as soon as it is deleted.
partitions_of() { find "$STATE/kafka/data" -maxdepth 1 -name "$1-[0-9]*" -not -name '*delete*' | wc -l; }
has_partitions() { [ "$(partitions_of "$1")" = "$2" ]; }

# --- objects -------------------------------------------------------------------------------------------------------
# A test that creates its own platform may set PLATFORM and NAMESPACE.

# change PATCH [OPTION…]: a JSON merge patch on the platform.
change() { k -n "$NAMESPACE" patch walletplatform "$PLATFORM" --type=merge -p "$@"; }

# field PATH [KIND NAME]: a field of the platform, or of another object, by jq.
field() { k -n "$NAMESPACE" get "${2:-walletplatform}" "${3:-$PLATFORM}" -o json | jq -r "$1"; }

# condition TYPE: `STATUS REASON: MESSAGE`
condition() { field ".status.conditions[]? | select(.type == \"$1\") | \"\(.status) \(.reason): \(.message)\""; }

# says TYPE STATUS REASON [TEXT…]: whether the condition says so for the current generation, and its message contains these texts.
says() {
  local type=$1 status=$2 reason=$3 seen text
  shift 3
  seen=$(k -n "$NAMESPACE" get walletplatform "$PLATFORM" -o json | jq -r --arg type "$type" \
    '.metadata.generation as $now | .status.conditions[]? | select(.type == $type and .observedGeneration == $now) | "\(.status) \(.reason): \(.message)"')
  [[ $seen == "$status $reason: "* ]] || return 1
  for text in "$@"; do [[ $seen == *"$text"* ]] || return 1; done
}

# expect_says SECONDS TYPE STATUS REASON [TEXT…]
expect_says() {
  local seconds=$1
  shift
  until_true "$seconds" says "$@" || die "within $seconds s, $1 does not become $2 $3 (${*:4}); it is: $(condition "$1")"
  echo "$1: $(condition "$1")"
}

# show_conditions: the conditions of every platform.
show_conditions() {
  k get walletplatforms -A -o json | jq -r '.items[] | .metadata as $of | .status.conditions[]? |
    "\($of.namespace)/\($of.name) \(.type)=\(.status) \(.reason): \(.message)"' || true
}

# platform_in NAMESPACE NAME DATABASE_URL [PATCH]: a small second platform with its own topics and namespace.
platform_in() {
  local patch
  k create namespace "$1" --dry-run=client -o yaml | k apply -f -
  NAMESPACE=$1 secret_up "$2-database" "$3"
  patch=$(jq -nc --arg name "$2" --arg ns "$1" --argjson patch "${4:-null}" '{
    metadata: {name: $name, namespace: $ns},
    spec: {partitions: 2, redis: null, database: {secretRef: {name: "\($name)-database"}, maxConnections: 4},
      kafka: {topics: {events: {name: "\($name)-events"}, deadLetters: {name: "\($name)-events-dlq"}}}}} * ($patch // {})')
  platform_object "$IMAGE" "$patch" | k apply -f -
}
drop_platform() { NAMESPACE=$1 k delete namespace "$1" --timeout=120s; }

# children NAME: what the operator created for that platform and still exists.
children() {
  k -n "$NAMESPACE" get deployments,services,jobs,cronjobs,configmaps,serviceaccounts,pods -o name | grep -E "/$1(-|\$)" || true
}
no_children() { [ -z "$(children "$1")" ]; }

COMPONENTS=(command ledger-projector publisher query read-model-projector)
# deployment COMPONENT PATH: a field of a component's Deployment.
deployment() { field "$2" deployment "$PLATFORM-$1"; }
# replicas COMPONENT: the number of replicas in its Deployment.
replicas() { deployment "$1" .spec.replicas; }
replicas_are() { [ "$(replicas "$1")" = "$2" ]; }
# pods COMPONENT: names of its pods.
pods() { k -n "$NAMESPACE" get pods -l "app.kubernetes.io/instance=$PLATFORM,app.kubernetes.io/component=$1" -o name; }
# template_hashes: the components' current ReplicaSets. If equal before and after, no pod was replaced.
template_hashes() {
  k -n "$NAMESPACE" get pods -l "app.kubernetes.io/instance=$PLATFORM" -o json |
    jq -r '[.items[] | select(.metadata.deletionTimestamp == null and (.metadata.labels["pod-template-hash"] // "") != "") |
      .metadata.labels["app.kubernetes.io/component"] + " " + .metadata.labels["pod-template-hash"]] | unique | .[]'
}

# same_pods BEFORE: the lines of an earlier template_hashes that still apply.
same_pods() { comm -12 <(sort <<<"$1") <(template_hashes | sort); }

# --- images --------------------------------------------------------------------------------------------------------

# another_name NAME: gives the stack's image a second name, like a release with the same programs.
another_name() { in_node ctr -n k8s.io images tag --force "$IMAGE" "$1"; }

# faulty_image NAME WHEN: an image whose program fails when asked to `migrate` or to `serve`, and otherwise succeeds.
faulty_image() {
  local root=$STATE/e2e/faulty
  mkdir -p "$root"
  cc -static -Os -o "$root/wallex" "$E2E/faulty.c" &&
    "$DEV/kubernetes/pack-image" "$root.tar" "$root" "{\"Entrypoint\": [\"/wallex\", \"$2\"]}" "$1" &&
    "$DEV/kubernetes/import-images" "$root.tar"
}

# --- the operator --------------------------------------------------------------------------------------------------

leader() { k -n "$OPERATOR_NAMESPACE" get lease wallex-operator -o jsonpath='{.spec.holderIdentity}'; }
# operator_metrics POD: its metrics; pods are reached directly.
operator_metrics() {
  curl -sS -f --max-time 5 "http://$(k -n "$OPERATOR_NAMESPACE" get pod "$1" -o jsonpath='{.status.podIP}'):8080/metrics"
}
# operator_with VALUE…: the installed chart with additional values (`name=value`).
operator_with() {
  local value settings=()
  for value in "$@"; do settings+=(--set "$value"); done
  h upgrade wallex-operator "$REPO/charts/wallex-operator" --namespace "$OPERATOR_NAMESPACE" --reuse-values "${settings[@]}" --wait --timeout 3m
}

# plugin ARGS…: kubectl wallex, found on the PATH as for a user.
plugin() {
  ln -sfn "$(programs)/kubectl-wallex" "$STATE/bin/kubectl-wallex"
  PATH=$STATE/bin:$PATH KUBECONFIG=$CLUSTER_DIR/kubeconfig kubectl wallex "$@"
}

# --- how a pod dies ------------------------------------------------------------------------------------------------

# container POD [NAMESPACE]: containerd's id of its container.
container() { k -n "${2:-$NAMESPACE}" get pod "$1" -o jsonpath='{.status.containerStatuses[0].containerID}' | sed 's,^containerd://,,'; }
# signal SIGNAL POD [NAMESPACE]: to the pod's process.
signal() { in_node ctr -n k8s.io task kill --signal "$1" "$(container "$2" "${3:-}")"; }

# crash COMPONENT: kills its process, as in a crash; Kubernetes restarts the container.
crash() {
  local pod
  pod=$(pods "$1" | head -n 1)
  signal SIGKILL "${pod#pod/}"
}

# vanish COMPONENT: removes the pod, as if its node were gone; the Deployment creates another one.
vanish() { pods "$1" | xargs -r "$KUBECTL" --kubeconfig "$CLUSTER_DIR/kubeconfig" -n "$NAMESPACE" delete --grace-period=0 --force --wait=false; }

# --- load ----------------------------------------------------------------------------------------------------------

# under_load COMMAND…: runs the command while clients transfer, credit and debit, 300 operations a second. Fails unless the load runs
# until the command has ended, every operation is answered as predicted and all balances are right.
under_load() {
  local run status=0 begun file
  file=$STATE/e2e/load.json
  begun=$(events)
  bench_in_place --wallets 50 --operations 1000000 --workers 8 --rate 300 --timeout 120 --drain-timeout 120 --json "$file" &
  run=$!
  trap 'kill "$run" 2>/dev/null || true' EXIT # of this subshell: every test runs in one
  until_true 60 more_events_than $((begun + 300)) || die "the load does not start"
  "$@" || status=$?
  [ "$status" = 0 ] || die "$* failed with $status"
  kill -0 "$run" 2>/dev/null || die "the load ended before: $*"
  kill -USR1 "$run"
  wait "$run" || die "the load failed while: $*"
  trap - EXIT
  jq -c '{ok, failed, retries, replayed, http_5xx, max_ms, drained_ms, verified}' "$file"
}

# not_one_again: in the previous load, every request was answered on the first try, none with a server error.
not_one_again() {
  jq -e '.failed == 0 and .retries == 0 and .http_5xx == 0' "$STATE/e2e/load.json" || die "requests had to be sent again: $(jq -c '{failed, retries, http_5xx, failures}' "$STATE/e2e/load.json")"
}
