# shellcheck shell=bash
SUITE=core
EXPECT='What somebody else changes or deletes is restored; foreign labels stay; no pod is replaced'

mended() {
  replicas_are query 1 &&
    [ "$(field '.spec.ports[0].port' service "$PLATFORM-command")" = 8080 ] &&
    [ "$(field .data.WALLEX_LOG configmap "$PLATFORM-config")" = info,request=warn ] &&
    k -n "$NAMESPACE" get "poddisruptionbudget/$PLATFORM-command" "serviceaccount/$PLATFORM" "cronjob/$PLATFORM-maintain"
}

run_test() {
  local before
  before=$(template_hashes)
  k -n "$NAMESPACE" label deployment "$PLATFORM-query" e2e.example.com/foreign=yes
  k -n "$NAMESPACE" scale deployment "$PLATFORM-query" --replicas=2
  k -n "$NAMESPACE" patch configmap "$PLATFORM-config" --type=merge -p '{"data": {"WALLEX_LOG": "trace"}}'
  k -n "$NAMESPACE" delete service "$PLATFORM-command"
  k -n "$NAMESPACE" delete poddisruptionbudget "$PLATFORM-command"
  k -n "$NAMESPACE" delete cronjob "$PLATFORM-maintain"
  k -n "$NAMESPACE" delete serviceaccount "$PLATFORM"
  until_true 30 mended || die "not restored within 30 s"
  platform_wait 60
  [ "$(template_hashes)" = "$before" ] || die "pods were replaced: $before became $(template_hashes)"
  [ "$(field '.metadata.labels["e2e.example.com/foreign"]' deployment "$PLATFORM-query")" = yes ] || die "a foreign label is gone"
  k -n "$NAMESPACE" label deployment "$PLATFORM-query" e2e.example.com/foreign-
}
