# shellcheck shell=bash
SUITE=full
EXPECT='When suspended, all workloads go to 0 while topics and data stay; when resumed, every wallet is as before'
no_pods() { [ -z "$(k -n "$NAMESPACE" get pods -l "app.kubernetes.io/instance=$PLATFORM" -o name | grep -v -e "-migrate-" -e "-maintain-")" ]; }
run_test() {
  local partitions
  partitions=$(partitions_of wallet-events)
  wallets "$STATE/e2e/wallets-before.json"
  plugin suspend -n "$NAMESPACE" "$PLATFORM"
  expect_says 180 Progressing False Suspended
  until_true 60 no_pods || die "a suspended platform has pods"
  expect_says 10 Ready False Suspended
  has_partitions wallet-events "$partitions" || die "the topic is gone"
  plugin resume -n "$NAMESPACE" "$PLATFORM"
  platform_wait 180
  wallets "$STATE/e2e/wallets-after.json"
  diff "$STATE/e2e/wallets-before.json" "$STATE/e2e/wallets-after.json" || die "wallets differ"
}
