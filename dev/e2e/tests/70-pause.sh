# shellcheck shell=bash
SUITE=full
EXPECT='While paused nothing is changed, not even drift; on resume drift is corrected, and no pod is replaced'
run_test() {
  local before writes
  before=$(template_hashes)
  plugin pause -n "$NAMESPACE" "$PLATFORM"
  expect_says 30 Progressing False Paused
  k -n "$NAMESPACE" scale deployment "$PLATFORM-query" --replicas=2
  # A reconcile has seen the change: the status shows it, and it is left alone.
  shown() { [ "$(field '.status.components[] | select(.name == "query") | .desired')" = 2 ]; }
  until_true 30 shown || die "the status does not show the foreign change"
  replicas_are query 2 || die "it was changed back while paused"
  plugin resume -n "$NAMESPACE" "$PLATFORM"
  until_true 30 replicas_are query 1 || die "it was not changed back on resume"
  platform_wait 60
  [ "$(template_hashes)" = "$before" ] || die "pods were replaced"
}
