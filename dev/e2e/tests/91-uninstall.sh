# shellcheck shell=bash
SUITE=full
EXPECT='helm uninstall refuses while a platform would be stuck forever; without an operator the documented patch releases it; plain YAML becomes a release with the documented command; two operators are reported'

gone() { ! k -n "$NAMESPACE" get walletplatform "$PLATFORM"; }
has_finalizer() { [ "$(field '.metadata.finalizers // [] | length')" = 1 ]; }

run_test() {
  local first=$NAMESPACE/$PLATFORM url operator=$REPO/charts/wallex-operator image=("--set" "image.repository=${IMAGE%:*}" "--set" "image.tag=${IMAGE##*:}")
  url=$(new_database e2e_uninstall)
  (
    NAMESPACE=e2e-uninstall PLATFORM=mayfly
    platform_in "$NAMESPACE" "$PLATFORM" "$url" '{"spec": {"suspended": true, "kafka": {"topics": {"deletionPolicy": "Delete"}}}}'
    until_true 60 has_finalizer || die "no finalizer"
    ! h uninstall wallex-operator --namespace "$OPERATOR_NAMESPACE" --wait --timeout 2m || die "uninstalled, though $NAMESPACE/$PLATFORM needs it"
    k -n "$OPERATOR_NAMESPACE" logs job/wallex-operator-uninstall | grep "$NAMESPACE/$PLATFORM" || die "the platform is not named"
    h uninstall wallex-operator --namespace "$OPERATOR_NAMESPACE" --wait --no-hooks
    k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --wait=false
    ! until_true 5 gone || die "it is deleted without an operator"
    k -n "$NAMESPACE" patch walletplatform "$PLATFORM" --type=merge -p '{"metadata": {"finalizers": null}}'
    until_true 30 gone || die "the patch does not release it"
    drop_platform "$NAMESPACE"
  )
  drop_database e2e_uninstall
  topic --delete --topic mayfly-events || true
  topic --delete --topic mayfly-events-dlq || true

  # docs/install.md, "Without Helm", including the switch to Helm.
  k apply --server-side --force-conflicts -f "$REPO/charts/plain/wallex-operator.yaml"
  k -n wallex-system set image deployment/wallex-operator "operator=$IMAGE"
  k -n wallex-system rollout status deployment/wallex-operator --timeout=120s
  h install wallex-operator "$operator" --namespace wallex-system --take-ownership --force-conflicts "${image[@]}" --wait --timeout 3m
  platform_wait 120

  # A second operator for all namespaces.
  h install second "$operator" --namespace e2e-second-operator --create-namespace --take-ownership --set crds.install=false "${image[@]}" --wait --timeout 3m
  k -n "${first%/*}" annotate walletplatform "${first#*/}" e2e.example.com/look="$(date +%s)" --overwrite
  two_are_named() {
    k -n "${first%/*}" annotate walletplatform "${first#*/}" e2e.example.com/look="$(date +%s)" --overwrite >/dev/null
    says Ready True Ready e2e-second-operator wallex-system
  }
  until_true 120 two_are_named || die "two operators lead and nobody says so: $(condition Ready)"
  h uninstall second --namespace e2e-second-operator --wait
  k delete namespace e2e-second-operator --timeout=120s
  h uninstall wallex-operator --namespace wallex-system --wait
  operator_up "$IMAGE"
  platform_wait 120
}
