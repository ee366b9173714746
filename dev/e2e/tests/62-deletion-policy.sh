# shellcheck shell=bash
SUITE=full
EXPECT='With deletionPolicy Delete the topics are deleted with the platform; while they cannot be, the object stays and says so, until the annotation releases it'
gone() { ! k -n "$NAMESPACE" get walletplatform "$PLATFORM"; }
run_test() {
  local NAMESPACE=e2e-deletion PLATFORM=mayfly url
  local delete='{"spec": {"kafka": {"topics": {"deletionPolicy": "Delete"}}}}'
  url=$(new_database e2e_deletion)
  platform_in "$NAMESPACE" "$PLATFORM" "$url" "$delete"
  platform_wait 180
  has_partitions mayfly-events 2 || die "the topic was not created"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=120s
  until_true 30 has_partitions mayfly-events 0 || die "the events topic is still there"
  [ "$(partitions_of mayfly-events-dlq)" = 0 ] || die "the topic of the dead letters is still there"

  # The same again, but then no broker is at the address.
  platform_in "$NAMESPACE" "$PLATFORM" "$url" "$delete"
  platform_wait 180
  change '{"spec": {"kafka": {"bootstrapServers": "127.0.0.1:9"}}}'
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --wait=false
  expect_says 180 Ready False TopicDeletionFailed
  ! gone || die "the object is gone although its topics are not deleted"
  k -n "$NAMESPACE" annotate walletplatform "$PLATFORM" wallex.dev/abandon-topics=true
  until_true 60 gone || die "the annotation does not release the object"
  k -n "$NAMESPACE" get events -o json | jq -e '.items[] | select(.reason == "TopicsAbandoned")' >/dev/null || die "no Event says that topics were abandoned"
  has_partitions mayfly-events 2 || die "the topic is gone"
  topic --delete --topic mayfly-events
  topic --delete --topic mayfly-events-dlq
  drop_platform "$NAMESPACE"
  drop_database e2e_deletion
}
