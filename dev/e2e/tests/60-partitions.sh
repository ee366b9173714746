# shellcheck shell=bash
SUITE=full
EXPECT='Partitions grow only when allowed, under load and without a failed request; the new ones get wallets; a smaller number is reported, not applied'
run_test() {
  local had wanted
  had=$(sql "SELECT count(*) FROM journal.partition")
  wanted=$((had + 2))
  change "{\"spec\": {\"partitions\": $wanted}}"
  expect_says 60 TopicsReady True AsExpected "spec.partitions says $wanted" allowPartitionIncrease
  [ "$(partitions_of wallet-events)" = "$had" ] || die "the topic grew without permission"
  grow() {
    change '{"spec": {"allowPartitionIncrease": true}}'
    until_true 120 has_partitions wallet-events "$wanted" || die "the topic has $(partitions_of wallet-events) partitions, not $wanted"
    open() { [ "$(sql "SELECT count(*) FROM journal.partition WHERE open")" = "$wanted" ]; }
    until_true 120 open || die "the journal's new partitions are not open"
    platform_wait 180
  }
  under_load grow
  # The load created its wallets earlier; these are new.
  bench --wallets 200 --operations 400 --workers 4
  [ "$(sql "SELECT count(DISTINCT partition) FROM journal.head WHERE partition >= $had")" = 2 ] || die "the new partitions got no wallets"
  change '{"spec": {"partitions": 4}}'
  expect_says 60 TopicsReady True AsExpected "spec.partitions says 4" "the journal has $wanted"
  [ "$(partitions_of wallet-events)" = "$wanted" ] || die "the topic shrank"
  change "{\"spec\": {\"partitions\": $wanted, \"allowPartitionIncrease\": false}}"
}
