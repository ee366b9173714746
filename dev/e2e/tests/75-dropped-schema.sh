# shellcheck shell=bash
SUITE=full
EXPECT='A dropped schema is noticed, the migration runs again by itself, and the projection is filled from the journal'
level() { [ "$(sql "SELECT sum(last_seq) FROM journal.partition")" = "$(sql "SELECT coalesce(sum(seq), 0) FROM $1.cursor")" ]; }
told() {
  k -n "$NAMESPACE" get events -o json |
    # A repeated Event is counted in the first one's series.
    jq -e --arg since "$1" '.items[] | select(.reason == "SchemaMissing" and ((.series.lastObservedTime // .eventTime) >= $since))' >/dev/null
}
run_test() {
  local schema since
  bench --wallets 10 --operations 200 --workers 4
  for schema in ledger read_model; do
    since=$(date -u +%Y-%m-%dT%H:%M:%S)
    sql "DROP SCHEMA $schema CASCADE"
    until_true 120 told "$since" || die "nothing reports that $schema is gone: $(condition SchemaReady)"
    expect_says 1 CommandAvailable True Available # writes need no projection
    platform_wait 300 || die "not Ready after $schema was dropped"
    until_true 120 level "$schema" || die "$schema is not filled again"
  done
  wallets "$STATE/e2e/refilled.json"
}
