# shellcheck shell=bash
SUITE=full
EXPECT='kubectl autoscale gets control of the number of pods and is named, without a fight; the number returns to the spec when the autoscaler is gone'
generation() { deployment query .metadata.generation; }
run_test() {
  local before
  k -n "$NAMESPACE" autoscale deployment "$PLATFORM-query" --min=2 --max=3
  expect_says 60 AutoscalingActive False ForeignAutoscaler "$PLATFORM-query" query
  until_true 60 replicas_are query 2 || die "the autoscaler does not get its pods: $(replicas query)"
  platform_wait 120
  before=$(generation)
  # Another reconcile, and a round of the autoscaler: if they fight, one of them writes by then.
  k -n "$NAMESPACE" annotate walletplatform "$PLATFORM" e2e.example.com/look="$(date +%s)" --overwrite
  change '{"spec": {"publisher": {"replicas": 2}}}'
  until_true 60 replicas_are publisher 2 || die "a change of another component does not get through"
  platform_wait 120
  [ "$(generation)" = "$before" ] || die "the number of pods is fought over: generation $before became $(generation)"
  k -n "$NAMESPACE" delete hpa "$PLATFORM-query"
  until_true 60 replicas_are query 1 || die "the number of pods does not return to the spec: $(replicas query)"
  change '{"spec": {"publisher": {"replicas": 1}}}'
  platform_wait 120
  [ -z "$(condition AutoscalingActive)" ] || die "still reported: $(condition AutoscalingActive)"
}
