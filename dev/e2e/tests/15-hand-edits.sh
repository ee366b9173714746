# shellcheck shell=bash
SUITE=full
EXPECT='Manual changes to pods are changed back and reported; a sidecar stays and is named; changes of the platform still get through'

env_of() { deployment query '.spec.template.spec.containers[] | select(.name == "wallex") | [.env[] | {name, value, valueFrom}] | sort_by(.name)'; }
container() { deployment query ".spec.template.spec.containers[] | select(.name == \"wallex\") | $1"; }
told() {
  k -n "$NAMESPACE" get events -o json | jq -e --arg text "$1" '.items[] | select(.reason == "HandEditPutBack") | (.message // .note) | contains($text)' >/dev/null
}
same_env() { [ "$(env_of)" = "$before" ]; }
put_back() {
  same_env && [ "$(container .image)" = "$IMAGE" ] && [ "$(container '.command // "none"')" = none ] &&
    [ "$(container '.livenessProbe.exec // "none"')" = none ] && [ "$(deployment query '.spec.paused // false')" = false ] &&
    [ "$(field '.spec.selector.track // "none"' service "$PLATFORM-query")" = none ] &&
    [ "$(field '.data.WALLEX_IDEMPOTENCY_RETENTION_HOURS // "none"' configmap "$PLATFORM-config")" = none ]
}

run_test() {
  local before query=deployment/$PLATFORM-query
  before=$(env_of)
  k -n "$NAMESPACE" set env "$query" WALLEX_DATABASE_URL=postgres://elsewhere/x WALLEX_IDEMPOTENCY_RETENTION_HOURS=1 WALLEX_KAFKA_EVENTS_TOPIC=elsewhere
  until_true 60 same_env || die "variables set by hand stay: $(env_of)"
  until_true 30 told WALLEX_DATABASE_URL || die "no Event names the variable"
  until_true 10 told kubectl-set || die "no Event names who set it"

  k -n "$NAMESPACE" set image "$query" "wallex=$IMAGE-elsewhere"
  k -n "$NAMESPACE" patch "$query" -p '{"spec": {"template": {"spec": {"containers": [{"name": "wallex", "command": ["sh"],
    "livenessProbe": {"httpGet": null, "exec": {"command": ["true"]}}}]}}}}'
  k -n "$NAMESPACE" rollout pause "$query" || true # the operator may be quicker
  k -n "$NAMESPACE" patch service "$PLATFORM-query" -p '{"spec": {"selector": {"track": "canary"}}}'
  k -n "$NAMESPACE" patch configmap "$PLATFORM-config" --type=merge -p '{"data": {"WALLEX_IDEMPOTENCY_RETENTION_HOURS": "1"}}'
  # After three changes of one object within a minute, the rest waits for the next minute.
  until_true 150 put_back || die "changed by hand, and not changed back: $(container .) $(field .spec.selector service "$PLATFORM-query")"
  platform_wait 120
  # Nothing is left to change back: what the API server fills in does not count as somebody's change.
  quiet_again() { [[ $(condition Ready) == "True Ready: all components are ready" ]]; }
  until_true 120 quiet_again || die "something is changed back over and over: $(condition Ready)"

  # A sidecar stays, is named, and blocks no change.
  k -n "$NAMESPACE" patch "$query" -p "{\"spec\": {\"template\": {\"spec\": {\"containers\": [{\"name\": \"sidecar\", \"image\": \"$IMAGE\",
    \"args\": [\"maintain\"], \"securityContext\": {\"runAsNonRoot\": true}}]}}}}"
  sidecar_is_named() { [[ $(condition Ready) == *"containers[sidecar]"* || $(condition QueryAvailable) == *sidecar* ]]; }
  until_true 60 sidecar_is_named || die "the sidecar is not named: $(condition Ready)"
  change '{"spec": {"publisher": {"replicas": 2}, "command": {"queueCapacity": 5000}}}'
  until_true 60 replicas_are publisher 2 || die "a change does not get through"
  [ "$(deployment query '[.spec.template.spec.containers[].name] | sort | join(",")')" = sidecar,wallex ] || die "the sidecar is gone"
  k -n "$NAMESPACE" patch "$query" -p '{"spec": {"template": {"spec": {"containers": [{"$patch": "delete", "name": "sidecar"}]}}}}'
  change '{"spec": {"publisher": {"replicas": 1}, "command": {"queueCapacity": null}}}'
  platform_wait 180
}
