# shellcheck shell=bash
SUITE=core
EXPECT='Once Ready, reconciles write nothing: no object of the platform changes, and the operator counts no writes except the lag in the status'

# versions: every object with its version, except endpoints and pods, which belong to Kubernetes.
versions() {
  k -n "$NAMESPACE" get walletplatforms,deployments,services,jobs,cronjobs,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies \
    -o json | jq -r '.items[] | "\(.kind)/\(.metadata.name) \(.metadata.resourceVersion)"'
}
reconciles() { operator_metrics "$(leader)" | awk '/^wallex_operator_reconciles_total/ { sum += $2 } END { print sum + 0 }'; }
# Without the status, whose lag still changes with the load of the previous test. The metric does not count the Lease.
writes() { operator_metrics "$(leader)" | awk '/^wallex_operator_api_writes_total/ && !/kind="WalletPlatform.status"/ { sum += $2 } END { print sum + 0 }'; }
more_reconciles_than() { [ "$(reconciles)" -gt "$1" ]; }

run_test() {
  local reconciles writes turn
  # The annotation triggers a reconcile, and is our own write: the object's version is read after it.
  for turn in 1 2 3; do
    reconciles=$(reconciles)
    k -n "$NAMESPACE" annotate walletplatform "$PLATFORM" --overwrite "e2e.wallex.dev/turn=$turn"
    if [ "$turn" = 1 ]; then
      # A status change that the previous test left pending is written in the first round.
      until_true 30 more_reconciles_than "$reconciles" || die "no reconcile follows an annotation"
      platform_wait 60
      versions >"$STATE/e2e/versions-before"
      writes=$(writes)
    else
      until_true 30 more_reconciles_than "$reconciles" || die "no reconcile follows an annotation"
    fi
  done
  versions >"$STATE/e2e/versions-after"
  diff <(grep -v WalletPlatform/ "$STATE/e2e/versions-before") <(grep -v WalletPlatform/ "$STATE/e2e/versions-after") ||
    die "objects have changed"
  [ "$(writes)" = "$writes" ] || die "the operator wrote $(($(writes) - writes)) times in two reconciles of an unchanged platform"
  k -n "$NAMESPACE" annotate walletplatform "$PLATFORM" e2e.wallex.dev/turn-
}
