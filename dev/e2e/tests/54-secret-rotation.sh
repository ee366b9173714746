# shellcheck shell=bash
SUITE=full
EXPECT='A changed Secret rolls exactly the pods that use it, without a failed request; afterwards nobody uses the old value'

ALL=${COMPONENTS[*]}

# fresh BEFORE: the components whose pods have a different template than in BEFORE.
fresh() { comm -13 <(sort <<<"$1") <(template_hashes | sort) | cut -d' ' -f1 | sort -u | paste -sd' '; }
replaced() { [ "$(fresh "$1")" = "$2" ] && [ "$(same_pods "$1" | wc -l)" = "$(($(wc -l <<<"$1") - $(wc -w <<<"$2")))" ]; }

# rolls COMPONENTS COMMAND…: after the command the pods of these components are replaced, and no others.
rolls() {
  local wanted=$1 before
  shift
  before=$(template_hashes)
  "$@" || die "$1 ${2:-} failed"
  until_true 300 replaced "$before" "$wanted" || die "after $1 ${2:-} new are: $(fresh "$before"), to be new: $wanted; old: $(same_pods "$before")"
  platform_wait 300 || die "not Ready after $1 ${2:-}"
  replaced "$before" "$wanted" || die "after $1 ${2:-} new are: $(fresh "$before"), to be new: $wanted"
  echo "after $1 ${2:-} new are: $wanted"
}

# no_sessions ROLE: the database has no session of that role.
no_sessions() { [ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = '$1'")" = 0 ]; }

redis() { REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -h "$HOST_IP" -p "$REDIS_PORT" "$@"; }
# redis_users: which users are connected, apart from this query.
redis_users() { redis client list | grep -v cmd=client | sed 's/.* user=\([^ ]*\).*/\1/' | sort -u | paste -sd' '; }
only_user() { [ "$(redis_users)" = "$1" ]; }

restarts() { field '[.items[].status.containerStatuses[0].restartCount] | add' pods "-l=app.kubernetes.io/instance=$PLATFORM,app.kubernetes.io/component=$1"; }
restarted() { [ "$(restarts "$1")" -gt "$2" ]; }

token() { k -n "$NAMESPACE" create secret generic e2e-token --from-literal=token="$1" --dry-run=client -o yaml | k apply -f -; }

rotations() {
  local before
  rolls "$ALL" secret_up "$PLATFORM-database" "$NEXT_URL"
  until_true 60 no_sessions wallex || die "somebody still uses the role wallex"
  sql_as_superuser <<<"ALTER ROLE wallex NOLOGIN;" || die "the login can't be revoked"
  # A process that starts now has to log in.
  before=$(restarts publisher)
  crash publisher || die "no publisher to crash"
  until_true 120 restarted publisher "$before" || die "the publisher does not start again"
  platform_wait 120 || die "not Ready when the old role may no longer log in"
  sql_as_superuser <<<"ALTER ROLE wallex LOGIN;" || die "the login can't be restored"
  rolls "$ALL" secret_up "$PLATFORM-database" "$FIRST_URL"

  rolls "$ALL" secret_up "$PLATFORM-redis" "${REDIS_URL/default:$REDIS_PASSWORD/next:$REDIS_PASSWORD-next}"
  until_true 60 only_user next || die "users of Redis: $(redis_users)"
  rolls "$ALL" secret_up "$PLATFORM-redis" "$REDIS_URL"
  until_true 60 only_user default || die "users of Redis: $(redis_users)"

  token one || die "no Secret"
  rolls query change '{"spec": {"query": {"extraEnv": [{"name": "E2E_TOKEN", "valueFrom": {"secretKeyRef": {"name": "e2e-token", "key": "token"}}}]}}}'
  # A key that nobody uses changes nothing; the rollout that follows shows that the change was seen.
  k -n "$NAMESPACE" patch secret "$PLATFORM-database" --type=merge -p '{"stringData": {"note": "read by nobody"}}' || die "no further key"
  rolls query token two
  rolls query change '{"spec": {"query": {"extraEnv": []}}}'
}

run_test() {
  local FIRST_URL=$DATABASE_URL NEXT_URL password
  password=$(secret)
  NEXT_URL=${DATABASE_URL/wallex:$DATABASE_PASSWORD@/wallex_next:$password@}
  # Whatever the new role creates or changes belongs to the old role.
  sql_as_superuser <<SQL || die "no second role"
DROP ROLE IF EXISTS wallex_next;
CREATE ROLE wallex_next LOGIN PASSWORD '$password' IN ROLE wallex;
ALTER ROLE wallex_next SET role = wallex;
SQL
  redis acl setuser next on ">$REDIS_PASSWORD-next" '~*' '&*' +@all || die "no second user of Redis"
  # The load reads the database too, and must be able to log in throughout.
  DATABASE_URL=$NEXT_URL under_load rotations
  not_one_again
  nothing_parked
  until_true 60 no_sessions wallex_next || die "somebody still uses the role wallex_next"
  sql_as_superuser <<<"DROP ROLE wallex_next;" || die "the second role stays"
  redis acl deluser next || die "the second user of Redis stays"
  k -n "$NAMESPACE" patch secret "$PLATFORM-database" --type=merge -p '{"data": {"note": null}}' || die "the further key stays"
  k -n "$NAMESPACE" delete secret e2e-token || die "the Secret stays"
}
