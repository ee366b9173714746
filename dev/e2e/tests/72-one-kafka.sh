# shellcheck shell=bash
SUITE=full
EXPECT='Two platforms that reach one Kafka at two addresses are known to share it: the second gets no topic of the first and deletes none; without names each has its own topics'

# kafka_service NAMESPACE: a second address of the broker, in the cluster's DNS.
kafka_service() {
  k create namespace "$1" --dry-run=client -o yaml | k apply -f -
  jq -n --arg host "${KAFKA_BOOTSTRAP_SERVERS%:*}" --argjson port "${KAFKA_BOOTSTRAP_SERVERS##*:}" '{apiVersion: "v1", kind: "List", items: [
    {apiVersion: "v1", kind: "Service", metadata: {name: "kafka"}, spec: {ports: [{name: "kafka", port: $port}]}},
    {apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", metadata: {name: "kafka", labels: {"kubernetes.io/service-name": "kafka"}},
      addressType: "IPv4", ports: [{name: "kafka", port: $port}], endpoints: [{addresses: [$host]}]}]}' | k -n "$1" apply -f -
}
gone() { ! k -n "$NAMESPACE" get walletplatform "$PLATFORM"; }
left_events() { k -n "$NAMESPACE" get events -o json | jq -e --arg reason "$1" '.items[] | select(.reason == $reason)' >/dev/null; }

run_test() {
  local first=$NAMESPACE/$PLATFORM partitions url address
  local NAMESPACE=e2e-one-kafka PLATFORM=guest
  partitions=$(partitions_of wallet-events)
  url=$(new_database e2e_one_kafka)
  kafka_service e2e-kfk
  address=kafka.e2e-kfk.svc:${KAFKA_BOOTSTRAP_SERVERS##*:}
  platform_in "$NAMESPACE" "$PLATFORM" "$url" "$(jq -nc --arg address "$address" '{spec: {kafka: {bootstrapServers: $address,
    topics: {events: {name: "wallet-events"}, deadLetters: {name: "wallet-events-dlq"}, deletionPolicy: "Delete"}}}}')"
  expect_says 90 Ready False TopicTaken wallet-events "$first"
  expect_says 10 Stalled True TopicTaken
  no_children "$PLATFORM" || die "the second platform has workloads: $(children "$PLATFORM")"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=120s
  has_partitions wallet-events "$partitions" || die "the topic of the first platform is gone"

  # Internal topics are refused immediately.
  local refusal
  refusal=$(platform_object "$IMAGE" '{"metadata": {"name": "guest", "namespace": "e2e-one-kafka"}, "spec": {"kafka": {"topics": {"deadLetters": {"name": "__consumer_offsets"}}}}}' |
    k -n "$NAMESPACE" apply --dry-run=server -f - 2>&1) && die "__consumer_offsets is accepted"
  grep -q "this topic name is reserved" <<<"$refusal" || die "__consumer_offsets is refused with a different message: $refusal"

  # Without names it gets its own topics, which are deleted with it.
  platform_in "$NAMESPACE" "$PLATFORM" "$url" "$(jq -nc --arg address "$address" '{spec: {kafka: {bootstrapServers: $address,
    topics: {events: {name: null}, deadLetters: {name: null}, deletionPolicy: "Delete"}}}}')"
  platform_wait 240 || die "not Ready with topics of its own"
  has_partitions "$NAMESPACE.$PLATFORM.wallet-events" 2 || die "it has no topic of its own"
  [ "$(field .status.kafka.clusterId)" = "$(NAMESPACE=${first%/*} PLATFORM=${first#*/} field .status.kafka.clusterId)" ] || die "one Kafka has two ids"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=180s
  until_true 30 has_partitions "$NAMESPACE.$PLATFORM.wallet-events" 0 || die "its own topic stays"
  has_partitions wallet-events "$partitions" || die "the topic of the first platform is gone"

  # A topic that existed before stays.
  topic --create --topic guests-own --partitions 2
  platform_in "$NAMESPACE" "$PLATFORM" "$url" '{"spec": {"kafka": {"topics": {"events": {"name": "guests-own"}, "deletionPolicy": "Delete"}}}}'
  platform_wait 240 || die "not Ready with a topic that existed before"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=180s
  has_partitions guests-own 2 || die "a topic that existed before is deleted"
  left_events TopicsAbandoned || die "no Event says what was left"
  topic --delete --topic guests-own
  drop_platform "$NAMESPACE"
  k delete namespace e2e-kfk --timeout=60s
  drop_database e2e_one_kafka
}
