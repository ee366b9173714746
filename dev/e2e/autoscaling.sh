# shellcheck shell=bash
# Shared by the autoscaling tests, which source it after lib.sh; they need a stack with KEDA=1.

more_replicas_than() { [ "$(replicas "$1")" -gt "$2" ]; }

# watch_replicas COMPONENT FILE: records every number of replicas in the component's Deployment until the test ends.
watch_replicas() {
  k -n "$NAMESPACE" get deployment "$PLATFORM-$1" --watch -o jsonpath='{.spec.replicas}{"\n"}' >"$2" 2>&1 &
  WATCHES+=($!)
  trap 'kill "${WATCHES[@]}" 2>/dev/null || true' EXIT
  until_true 20 test -s "$2" || die "the watch of $1 does not start"
}
WATCHES=()

# applied COMPONENT SECONDS: how many of its pods applied events in that time, according to Prometheus.
applied() {
  curl -sS -f -G "$PROMETHEUS_URL/api/v1/query" --data-urlencode \
    "query=count(max by (pod) (max_over_time(wallex_projection_applied_events_total{namespace=\"$NAMESPACE\",platform=\"$PLATFORM\",component=\"$1\"}[$2s])) > 0)" |
    jq -r '.data.result[0].value[1] // "0"'
}
