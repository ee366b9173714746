# shellcheck shell=bash
SUITE=full
EXPECT='When a quota refuses pods, the message of the API server is reported, for the migration and for components; without the quota the platform starts'

quota() { k -n "$NAMESPACE" create quota none --hard="pods=$1" --dry-run=client -o yaml | k apply -f -; }

run_test() {
  local NAMESPACE=e2e-quota PLATFORM=squeezed url
  url=$(new_database e2e_quota)
  k create namespace "$NAMESPACE" --dry-run=client -o yaml | k apply -f - || die "no namespace"
  quota 0 || die "no quota"
  platform_in "$NAMESPACE" "$PLATFORM" "$url" || die "no second platform"
  expect_says 90 SchemaReady False PodsRefused 'exceeded quota: none'
  expect_says 10 Ready False PodsRefused 'exceeded quota: none'
  # Room for one pod: the migration runs, then the first component to get the place.
  quota 1 || die "the quota can't be changed"
  expect_says 180 SchemaReady True AsExpected
  expect_says 60 Ready False PodsRefused 'exceeded quota: none'
  expect_says 10 Degraded True PodsRefused
  k -n "$NAMESPACE" delete quota none || die "the quota can't be deleted"
  platform_wait 300 || die "not Ready without the quota: $(condition Ready)"
  drop_platform "$NAMESPACE" || die "the namespace $NAMESPACE does not end"
  drop_database e2e_quota
}
