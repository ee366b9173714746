# shellcheck shell=bash
SUITE=core
EXPECT='helm test passes under the restricted pod security standard, and the API server accepts every manifest that the charts render'

# of_this_cluster FILE: its manifests whose API the cluster serves; there is no Prometheus Operator here.
of_this_cluster() {
  k api-versions | awk '
    NR == FNR { served[$1]; next }
    function flush() { if (version in served) printf "---\n%s", text; text = version = "" }
    /^---/ { flush(); next }
    /^apiVersion: / { version = $2 }
    { text = text $0 "\n" }
    END { flush() }' - "$1"
}

run_test() {
  local golden said
  k label namespace "$OPERATOR_NAMESPACE" --overwrite pod-security.kubernetes.io/{enforce,warn}=restricted
  h test wallex-operator --namespace "$OPERATOR_NAMESPACE" --timeout 2m
  for golden in "$REPO"/charts/tests/golden/*.yaml "$REPO/charts/plain/wallex-operator.yaml"; do
    said=$(of_this_cluster "$golden" | k apply --server-side --force-conflicts --dry-run=server -f - 2>&1) ||
      die "the API server refuses ${golden#"$REPO/"}: $said"
    echo "$said"
    ! grep -i warning <<<"$said" || die "the API server warns of ${golden#"$REPO/"}"
  done
}
