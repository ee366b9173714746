# shellcheck shell=bash
SUITE=core
EXPECT='Platform and operator are removed and installed again: pods are deleted, topics and data stay, and every wallet is as before'
run_test() {
  local heads
  wallets "$STATE/e2e/wallets-before.json"
  heads=$(sql "SELECT count(*) FROM journal.head")
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=60s
  until_true 60 no_children "$PLATFORM" || die "left of the deleted platform: $(children "$PLATFORM")"
  [ "$(sql "SELECT count(*) FROM journal.head")" = "$heads" ] || die "wallets are gone with the platform"
  has_partitions wallet-events "$(sql "SELECT count(*) FROM journal.partition")" || die "of wallet-events, $(partitions_of wallet-events) partitions are left"
  h uninstall wallex-operator --namespace "$OPERATOR_NAMESPACE" --wait
  k get crd walletplatforms.wallex.dev
  operator_up "$IMAGE"
  # The object says 10 partitions, whatever the journal has by now: the journal never shrinks, and the operator follows it.
  platform_up "$IMAGE" '{}'
  platform_wait 120
  follows_the_journal() { [ "$(field .status.schema.partitions)" = "$(sql "SELECT count(*) FROM journal.partition")" ]; }
  until_true 60 follows_the_journal || die "the status says $(field .status.schema.partitions) partitions"
  platform_wait 120
  wallets "$STATE/e2e/wallets-after.json"
  diff "$STATE/e2e/wallets-before.json" "$STATE/e2e/wallets-after.json" || die "wallets differ"
  bench --wallets 10 --operations 200 --workers 4
}
