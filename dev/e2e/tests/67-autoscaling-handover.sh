# shellcheck shell=bash
SUITE=full
EXPECT='Autoscaling is switched on, its driver changes twice, it is switched off, and the number of pods never changes; a lag that cannot be read scales nothing; the operator writes no number'
. "$E2E/autoscaling.sh"
scaler_writes() { operator_metrics "$(leader)" | awk '/^wallex_operator_api_writes_total/ && /kind="Deployment"/ { sum += $2 } END { print sum + 0 }'; }
run_test() {
  local seen=$STATE/e2e/replicas.txt writes
  change '{"spec": {"projectors": {"ledger": {"replicas": 3}}}}'
  platform_wait 120
  watch_replicas ledger-projector "$seen"
  # Scaling down takes five minutes by default: within this test, only a fault removes a pod.
  change '{"spec": {"projectors": {"ledger": {"autoscaling": {"maxReplicas": 5}}}}}'
  expect_says 120 AutoscalingActive True Active
  writes=$(scaler_writes)
  # KEDA does not serve this metric, so the HPA finds none.
  change '{"spec": {"autoscaling": {"driver": "HPA"}}}'
  expect_says 120 AutoscalingActive False MetricUnavailable
  change '{"spec": {"autoscaling": {"driver": "KEDA"}}}'
  expect_says 120 AutoscalingActive True Active
  [ "$(scaler_writes)" = "$writes" ] || die "the operator wrote Deployments $(($(scaler_writes) - writes)) times while the driver changed"
  # Off: the spec states the current number.
  change '{"spec": {"autoscaling": null, "projectors": {"ledger": {"autoscaling": null}}}}'
  gone() { [ -z "$(k -n "$NAMESPACE" get scaledobjects,hpa -o name)" ]; }
  until_true 120 gone || die "left: $(k -n "$NAMESPACE" get scaledobjects,hpa -o name)"
  platform_wait 120
  [ "$(sort -u "$seen")" = 3 ] || die "the number of pods changed: $(tr '\n' ' ' <"$seen")"
  change '{"spec": {"projectors": {"ledger": {"replicas": 1}}}}'
  until_true 60 replicas_are ledger-projector 1 || die "replicas has no effect any more"
}
