# shellcheck shell=bash
SUITE=full
EXPECT='Autoscaling goes on, its driver changes twice and it goes off, and the number of pods never moves; a lag that cannot be read scales nothing; the operator writes no number'
. "$E2E/autoscaling.sh"
scaler_writes() { operator_metrics "$(leader)" | awk '/^wallex_operator_api_writes_total/ && /kind="Deployment"/ { sum += $2 } END { print sum + 0 }'; }
run_test() {
  local seen=$STATE/e2e/replicas.txt writes
  change '{"spec": {"projectors": {"ledger": {"replicas": 3}}}}'
  platform_wait 120
  watch_replicas ledger-projector "$seen"
  # Down only after five minutes, the default: within this test nothing but a fault takes a pod away.
  change '{"spec": {"projectors": {"ledger": {"autoscaling": {"maxReplicas": 5}}}}}'
  expect_says 120 AutoscalingActive True Active
  writes=$(scaler_writes)
  # What KEDA serves is no metric of ours: the HPA finds none.
  change '{"spec": {"autoscaling": {"driver": "HPA"}}}'
  expect_says 120 AutoscalingActive False MetricUnavailable
  change '{"spec": {"autoscaling": {"driver": "KEDA"}}}'
  expect_says 120 AutoscalingActive True Active
  [ "$(scaler_writes)" = "$writes" ] || die "the operator wrote Deployments $(($(scaler_writes) - writes)) times while the driver changed"
  # Off: what is stated is what there is.
  change '{"spec": {"autoscaling": null, "projectors": {"ledger": {"autoscaling": null}}}}'
  gone() { [ -z "$(k -n "$NAMESPACE" get scaledobjects,hpa -o name)" ]; }
  until_true 120 gone || die "left: $(k -n "$NAMESPACE" get scaledobjects,hpa -o name)"
  platform_wait 120
  [ "$(sort -u "$seen")" = 3 ] || die "the number of pods moved: $(tr '\n' ' ' <"$seen")"
  change '{"spec": {"projectors": {"ledger": {"replicas": 1}}}}'
  until_true 60 replicas_are ledger-projector 1 || die "replicas count no more"
}
