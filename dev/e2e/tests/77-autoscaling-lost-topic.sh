# shellcheck shell=bash
SUITE=full
EXPECT='With KEDA a topic that is lost and filled again adds no pods for events applied long ago, and a projector that somebody scales to 0 is scaled back'
. "$E2E/autoscaling.sh"
filled() {
  local ends
  ends=$(kafka_tool org.apache.kafka.tools.GetOffsetShell --topic wallet-events | awk -F: '{ sum += $3 } END { print sum + 0 }')
  [ "$ends" -ge "$(events)" ]
}
# never_more SECONDS PODS
never_more() {
  local until=$((SECONDS + $1)) asked
  while [ "$SECONDS" -lt "$until" ]; do
    asked=$(replicas read-model-projector)
    [ "$asked" -le "$2" ] || die "$asked pods are requested"
    sleep 2
  done
}
run_test() {
  bench --wallets 50 --operations 3000 --workers 8
  change '{"spec": {"projectors": {"readModel": {"autoscaling": {"maxReplicas": 4, "lagThreshold": 100}}}}}'
  expect_says 180 AutoscalingActive True Active
  platform_wait 120
  topic --delete --topic wallet-events
  until_true 180 filled || die "the topic is not filled again"
  never_more 90 1
  platform_wait 120 || die "not Ready after the topic was filled again"

  k -n "$NAMESPACE" scale "deployment/$PLATFORM-read-model-projector" --replicas=0
  until_true 120 replicas_are read-model-projector 1 || die "KEDA leaves it at $(replicas read-model-projector)"
  platform_wait 120
  change '{"spec": {"projectors": {"readModel": {"replicas": 1, "autoscaling": null}}}}'
  platform_wait 120
}
