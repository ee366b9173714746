# shellcheck shell=bash
SUITE=full
EXPECT='A second platform that names the topic or the database of the first is refused, both are named, and the first continues'
run_test() {
  local first=$NAMESPACE/$PLATFORM url
  local NAMESPACE=e2e-second PLATFORM=rival
  url=$(new_database e2e_second)
  platform_in "$NAMESPACE" "$PLATFORM" "$url" '{"spec": {"kafka": {"topics": {"events": {"name": "wallet-events"}}}}}'
  expect_says 60 Ready False TopicTaken wallet-events "$first" "$NAMESPACE/$PLATFORM"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=60s
  platform_in "$NAMESPACE" "$PLATFORM" "$DATABASE_URL"
  expect_says 120 Ready False DatabaseTaken "$first" "$NAMESPACE/$PLATFORM"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=60s
  topic --delete --topic rival-events
  topic --delete --topic rival-events-dlq
  drop_platform "$NAMESPACE"
  drop_database e2e_second
  (NAMESPACE=${first%/*} PLATFORM=${first#*/} && bench --wallets 10 --operations 200 --workers 4)
}
