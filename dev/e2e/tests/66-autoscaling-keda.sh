# shellcheck shell=bash
SUITE=full
EXPECT='KEDA scales the read-model projector from 1 to 4 pods as its lag behind the journal grows, every pod applies events, the lag drains, and it scales back to 1'
. "$E2E/autoscaling.sh"
run_test() {
  local begun=$SECONDS
  # Stopped until there is a backlog; scaling down is quick, so that the test need not wait for the default five minutes.
  change '{"spec": {"projectors": {"readModel": {"replicas": 0, "resources": {"limits": {"cpu": "20m"}}}}}}'
  until_true 60 replicas_are read-model-projector 0
  bench --wallets 200 --operations 40000 --only transfers --workers 16 --drain-timeout 1 || true # the read model can't catch up
  change '{"spec": {"projectors": {"readModel": {"autoscaling": {"maxReplicas": 4, "lagThreshold": 1000,
    "scaleDown": {"stabilizationSeconds": 5, "percent": 100, "periodSeconds": 5}}}}}}'
  expect_says 120 AutoscalingActive True Active
  until_true 180 replicas_are read-model-projector 4 || die "there are $(replicas read-model-projector) pods, not 4"
  level() { [ "$(sql "SELECT sum(last_seq) FROM journal.partition")" = "$(sql "SELECT sum(seq) FROM read_model.cursor")" ]; }
  until_true 300 level || die "the lag does not drain"
  until_true 180 replicas_are read-model-projector 1 || die "there are $(replicas read-model-projector) pods, not 1"
  [ "$(applied read-model-projector $((SECONDS - begun + 10)))" -ge 4 ] || die "of 4 pods only $(applied read-model-projector $((SECONDS - begun + 10))) applied events"
  change '{"spec": {"projectors": {"readModel": {"replicas": 1, "autoscaling": null, "resources": null}}}}'
  platform_wait 120
  bench --wallets 10 --operations 200 --workers 4
  WALLEX_LOG=warn plugin verify -n "$NAMESPACE" "$PLATFORM"
}
