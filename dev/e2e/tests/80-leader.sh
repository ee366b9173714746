# shellcheck shell=bash
SUITE=full
EXPECT='Of two operators one leads: when it is killed or frozen the other takes over within 20 s, and one that wakes up writes nothing; SIGTERM hands over at once'

leader_is_not() { local now; now=$(leader); [ -n "$now" ] && [ "$now" != "$1" ]; }
# acts_within SECONDS: drift of the platform is corrected in that time.
acts_within() {
  local begun=$SECONDS
  k -n "$NAMESPACE" scale deployment "$PLATFORM-query" --replicas=2
  until_true "$1" replicas_are query 1 || die "nobody corrects drift within $1 s; the lease is $(leader)'s"
  echo "corrected after $((SECONDS - begun)) s by $(leader)"
}
two_ready() { [ "$(k -n "$OPERATOR_NAMESPACE" get deployment wallex-operator -o jsonpath='{.status.readyReplicas}')" = 2 ]; }
written_by() { operator_metrics "$1" | awk '/^wallex_operator_api_writes_total/ { sum += $2 } END { print sum + 0 }'; }

run_test() {
  local old transitions
  operator_with replicas=2
  until_true 60 two_ready || die "there are no two operators"
  acts_within 20

  # Killed: the container restarts under the same name, which alone must not make it the leader.
  old=$(leader)
  k -n "$OPERATOR_NAMESPACE" delete pod "$old" --grace-period=0 --force
  # The process may live on for a moment and lead.
  until_true 20 leader_is_not "$old" || die "nobody else leads within 20 s"
  acts_within 20
  until_true 60 two_ready || die "the killed operator is not replaced"

  # Frozen: its lease runs out. When it wakes up, it notices before it writes anything, and exits.
  old=$(leader)
  signal SIGSTOP "$old" "$OPERATOR_NAMESPACE"
  acts_within 20
  [ "$(leader)" != "$old" ] || die "a frozen operator still leads"
  transitions=$(k -n "$OPERATOR_NAMESPACE" get lease wallex-operator -o jsonpath='{.spec.leaseTransitions}')
  # What the operator has written, and when; the rest of an object belongs to Kubernetes.
  managed() {
    k -n "$NAMESPACE" get deployments,services,configmaps,walletplatforms -o json --show-managed-fields |
      jq -c '.items[] | [.kind, .metadata.name, (.metadata.managedFields[] | select(.manager == "wallex-operator" and .subresource == null) | .time)]'
  }
  platform_wait 60
  managed >"$STATE/e2e/managed-before"
  signal SIGCONT "$old" "$OPERATOR_NAMESPACE"
  ended() { k -n "$OPERATOR_NAMESPACE" get pod "$old" -o json | jq -e '.status.containerStatuses[0].restartCount > 0'; }
  until_true 60 ended || die "an operator that lost its lease does not end"
  k -n "$OPERATOR_NAMESPACE" logs "$old" --previous | tail -n 3
  [ "$(k -n "$OPERATOR_NAMESPACE" get lease wallex-operator -o jsonpath='{.spec.leaseTransitions}')" = "$transitions" ] || die "it took the lease back"
  managed >"$STATE/e2e/managed-after"
  diff "$STATE/e2e/managed-before" "$STATE/e2e/managed-after" || die "something was written meanwhile"

  # SIGTERM: the lease is handed over instead of running out.
  until_true 60 two_ready || die "there are no two operators"
  old=$(leader)
  k -n "$OPERATOR_NAMESPACE" delete pod "$old" --wait=false
  until_true 6 leader_is_not "$old" || die "the lease is not handed over on SIGTERM"
  acts_within 20
  operator_with replicas=1
}
