# shellcheck shell=bash
SUITE=core
EXPECT='kubectl wallex shows the status, verifies the journal, restarts the pods without a failed request, and reports without secrets'
run_test() {
  local said report=$STATE/e2e/report.tar.gz before
  said=$(plugin status -n "$NAMESPACE" "$PLATFORM")
  echo "$said"
  for word in Ready command wallet-events; do grep -q "$word" <<<"$said" || die "the status does not show $word"; done
  plugin verify -n "$NAMESPACE" "$PLATFORM" | tee "$STATE/e2e/verify.txt"
  grep -q 'all whole' "$STATE/e2e/verify.txt" || die "the journal is not whole"
  before=$(template_hashes)
  under_load plugin restart -n "$NAMESPACE" "$PLATFORM"
  [ -z "$(comm -12 <(sort <<<"$before") <(template_hashes | sort))" ] || die "not all pods were replaced"
  rm -f "$report"
  plugin report -n "$NAMESPACE" "$PLATFORM" --output "$report"
  tar -tzf "$report" >/dev/null
  ! tar -xzOf "$report" | grep -F -e "$DATABASE_PASSWORD" -e "$REDIS_PASSWORD" || die "the report contains a password"
}
