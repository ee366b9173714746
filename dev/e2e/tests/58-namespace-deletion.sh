# shellcheck shell=bash
SUITE=full
EXPECT='A namespace with a platform is gone within 60 s; topics and data stay, and the same platform applied again serves the same wallets'

run_test() {
  local NAMESPACE=e2e-deletion PLATFORM=passing url
  url=$(new_database e2e_deletion)
  local DATABASE_URL=$url
  platform_in "$NAMESPACE" "$PLATFORM" "$DATABASE_URL" || die "no platform"
  platform_wait 300 || die "not Ready: $(condition Ready)"
  bench --wallets 20 --operations 400 --workers 4 || die "the load failed"
  wallets "$STATE/e2e/passing-before.json"

  k delete namespace "$NAMESPACE" --timeout=60s || die "the namespace is not gone within 60 s: $(k get namespace "$NAMESPACE" -o json | jq -c .status)"
  [ "$(sql "SELECT count(*) FROM journal.head")" = "$(wc -l <"$STATE/e2e/passing-before.json")" ] || die "wallets are gone with the namespace"
  has_partitions "$PLATFORM-events" 2 || die "of $PLATFORM-events, $(partitions_of "$PLATFORM-events") partitions are left"

  platform_in "$NAMESPACE" "$PLATFORM" "$DATABASE_URL" || die "it can't be applied again"
  platform_wait 300 || die "not Ready when applied again: $(condition Ready)"
  wallets "$STATE/e2e/passing-after.json"
  diff "$STATE/e2e/passing-before.json" "$STATE/e2e/passing-after.json" || die "wallets differ"
  bench --wallets 20 --operations 400 --workers 4 || die "the load failed after it was applied again"

  drop_platform "$NAMESPACE" || die "the namespace does not end"
  drop_database e2e_deletion
  topic --delete --topic "$PLATFORM-events.*" || die "the topics can't be deleted"
}
