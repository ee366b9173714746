# shellcheck shell=bash
SUITE=full
EXPECT='helm upgrade updates the CRD of an older chart; the objects stay as they are, and no pod is replaced'

# knows_suspended: whether the API server accepts the field, which it would otherwise drop.
knows_suspended() {
  [ "$(k -n "$NAMESPACE" patch walletplatform "$PLATFORM" --type=merge --dry-run=server \
    -p '{"spec": {"suspended": true}}' -o jsonpath='{.spec.suspended}')" = true ]
}
chart_schema() { k create --dry-run=client -f "$REPO/crds/walletplatforms.wallex.dev.yaml" -o json | jq -S '.spec.versions[].schema'; }
live_schema() { k get crd walletplatforms.wallex.dev -o json | jq -S '.spec.versions[].schema'; }
object() { field '"\(.metadata.uid) generation \(.metadata.generation) \(.spec | del(.suspended))"'; }

run_test() {
  local chart=$STATE/e2e/older-chart object pods
  object=$(object)
  pods=$(template_hashes)
  knows_suspended || die "the field that the older chart should lack does not exist now"
  rm -rf "$chart"
  cp -r "$REPO/charts/wallex-operator" "$chart"
  k create --dry-run=client -f "$REPO/crds/walletplatforms.wallex.dev.yaml" -o json |
    jq 'del(.spec.versions[].schema.openAPIV3Schema.properties.spec.properties.suspended)' >"$chart/templates/crd.yaml" ||
    die "no older CRD"
  h upgrade wallex-operator "$chart" --namespace "$OPERATOR_NAMESPACE" --reuse-values --wait --timeout 3m || die "the older chart can't be installed"
  until_true 30 not knows_suspended || die "the older CRD still has the field"
  operator_with || die "the chart can't be upgraded"
  until_true 30 knows_suspended || die "the upgraded CRD lacks the field"
  diff <(chart_schema) <(live_schema) || die "the CRD differs from the chart's"
  platform_wait 120 || die "not Ready after the upgrade"
  [ "$(object)" = "$object" ] || die "the object was $object, it is $(object)"
  [ "$(template_hashes)" = "$pods" ] || die "pods were replaced: $pods became $(template_hashes)"
}
