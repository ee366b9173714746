# shellcheck shell=bash
SUITE=full
EXPECT='Platforms whose Kafka or database does not answer say so, and delay the repair of another platform by no more than seconds'
run_test() {
  local url number component
  url=$(new_database e2e_broken)
  for number in 1 2 3; do
    # Ports of this machine where nothing answers.
    platform_in "e2e-broken-$number" deaf "$url" "{\"spec\": {\"kafka\": {\"bootstrapServers\": \"$HOST_IP:$number\"}}}"
  done
  platform_in e2e-broken-4 mute "${url/@*/@$HOST_IP:4/none}"
  (NAMESPACE=e2e-broken-1 PLATFORM=deaf && expect_says 90 TopicsReady False KafkaUnreachable)
  (NAMESPACE=e2e-broken-4 PLATFORM=mute && expect_says 180 Ready False DatabaseUnreachable)
  # One change per component: the operator limits how often it changes the same object back.
  for component in publisher ledger-projector read-model-projector query command; do
    k -n "$NAMESPACE" scale deployment "$PLATFORM-$component" --replicas=2
    until_true 10 replicas_are "$component" 1 || die "drift of a healthy platform was not corrected within 10 s beside four broken ones ($component)"
  done
  platform_wait 60
  for number in 1 2 3 4; do k delete namespace "e2e-broken-$number" --wait=false; done
  for number in 1 2 3 4; do k wait --for=delete "namespace/e2e-broken-$number" --timeout=120s; done
  drop_database e2e_broken
}
