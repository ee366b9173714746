# shellcheck shell=bash
SUITE=core
EXPECT='A Secret that is missing, or lacks the key, is named; the platform starts as soon as the Secret is right'
run_test() {
  local NAMESPACE=e2e-secret PLATFORM=lost url
  url=$(new_database e2e_secret)
  platform_in "$NAMESPACE" "$PLATFORM" "$url" '{"spec": {"database": {"secretRef": {"name": "late"}}}}'
  expect_says 30 Ready False SecretNotFound late
  k -n "$NAMESPACE" create secret generic late --from-literal=uri="$url"
  expect_says 30 Ready False SecretKeyMissing late url
  secret_up late "$url"
  platform_wait 120
  drop_platform "$NAMESPACE"
  drop_database e2e_secret
}
