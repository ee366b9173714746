# shellcheck shell=bash disable=SC2034
# The stack that `make up` starts: its state, its servers, and how to talk to its cluster. Sourced after lib.sh.
#   NUMBER  0 … 9, by default 0: every number has its own addresses, so that stacks can run side by side
#   STATE   the folder with all of its state; `down` removes it
#   KEDA    1: with KEDA and metrics-server in the cluster, which scale pods by lag and by CPU. They stay until `down`
#   CONTEXT a kubectl context to use instead of our own servers and cluster, together with the file VALUES (see dev/README.md)

NUMBER=${NUMBER:-0}
[[ $NUMBER =~ ^[0-9]$ ]] || die "NUMBER=$NUMBER: it must be a digit"
CONTEXT=${CONTEXT:-}
KEDA=${KEDA:-}
case $KEDA in '' | 1) ;; *) die "KEDA=$KEDA: it must be 1 or unset" ;; esac
[ -z "$KEDA" ] || [ -z "$CONTEXT" ] || die "KEDA=1 works only with the cluster of make up; install KEDA in yours yourself"
if [ -z "${STATE:-}" ]; then
  STATE=$CACHE/up
  [ "$NUMBER" = 0 ] || STATE+=-$NUMBER
  [ -z "$CONTEXT" ] || STATE=$CACHE/context-${CONTEXT//[^A-Za-z0-9.-]/_}
fi
STATE=$(realpath -m "$STATE")
LOGS=$STATE/log
CLUSTER_DIR=$STATE/cluster CLUSTER_NUMBER=$NUMBER
export STATE NUMBER LOGS CLUSTER_DIR CLUSTER_NUMBER

. "$DEV/kubernetes/settings.sh"
. "$DEV/network.sh"
. "$DEV/servers/postgres.sh"
. "$DEV/servers/kafka.sh"
. "$DEV/servers/redis.sh"
. "$DEV/servers/prometheus.sh"

OPERATOR_NAMESPACE=wallex-system
NAMESPACE=wallex
PLATFORM=demo

# --- state -------------------------------------------------------------------------------------------------------

lock_state() {
  mkdir -p "$STATE" "$LOGS"
  exec 9>"$STATE/lock"
  flock -n 9 || die "another make up or make down is using $STATE"
}

# remembered NAME COMMAND…: what the command printed on the first call.
remembered() {
  local file=$STATE/remembered/$1
  shift
  if [ ! -e "$file" ]; then
    mkdir -p "$STATE/remembered"
    chmod 700 "$STATE/remembered"
    "$@" >"$file"
  fi
  cat "$file"
}

# --- servers -----------------------------------------------------------------------------------------------------

# The ports are the usual ones unless something on this machine already listens there. They never change afterwards, because
# Kafka's data and the platform's Secrets contain them.
server_settings() {
  POSTGRES_PORT=$(remembered postgres-port free_port 5432)
  KAFKA_PORT=$(remembered kafka-port free_port 9092)
  KAFKA_CONTROLLER_PORT=$(remembered kafka-controller-port random_port)
  KAFKA_SECURE_PORT=$(remembered kafka-secure-port free_port 9093)
  REDIS_PORT=$(remembered redis-port free_port 6379)
  PROMETHEUS_PORT=$(remembered prometheus-port free_port 9090)
  POSTGRES_PASSWORD=$(remembered postgres-password secret)
  DATABASE_PASSWORD=$(remembered database-password secret)
  REDIS_PASSWORD=$(remembered redis-password secret)
  KAFKA_PASSWORD=$(remembered kafka-password secret)
  DATABASE_URL=postgres://wallex:$DATABASE_PASSWORD@$HOST_IP:$POSTGRES_PORT/wallex
  KAFKA_BOOTSTRAP_SERVERS=$HOST_IP:$KAFKA_PORT
  REDIS_URL=redis://default:$REDIS_PASSWORD@$HOST_IP:$REDIS_PORT/0
  PROMETHEUS_URL=http://$HOST_IP:$PROMETHEUS_PORT
}

servers_alive() { alive "$STATE" postgres && alive "$STATE" kafka && alive "$STATE" redis; }

servers_up() {
  alive "$STATE" kafka || kafka_start "$STATE" "$HOST_IP" "$KAFKA_PORT" "$KAFKA_CONTROLLER_PORT" "$KAFKA_SECURE_PORT" "$KAFKA_PASSWORD"
  alive "$STATE" redis || redis_start "$STATE" "$HOST_IP" "$REDIS_PORT" "$REDIS_PASSWORD"
  alive "$STATE" postgres || postgres_start "$STATE" "$HOST_IP" "$POSTGRES_PORT" "$POSTGRES_PASSWORD" scram-sha-256
  postgres_wait "$STATE" "$HOST_IP" "$POSTGRES_PORT"
  sql_as_superuser <<SQL
SELECT 'CREATE ROLE wallex LOGIN PASSWORD ''$DATABASE_PASSWORD''' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wallex') \gexec
SELECT 'CREATE DATABASE wallex OWNER wallex' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'wallex') \gexec
SQL
  redis_wait "$STATE" "$HOST_IP" "$REDIS_PORT" "$REDIS_PASSWORD"
  kafka_wait "$STATE"
}

sql_as_superuser() {
  PGPASSWORD=$POSTGRES_PASSWORD psql -X -q -v ON_ERROR_STOP=1 -h "$HOST_IP" -p "$POSTGRES_PORT" -U postgres -d postgres
}

# prometheus_up: after the cluster, whose API server tells it what to scrape.
prometheus_up() {
  prometheus_start "$STATE" "$HOST_IP" "$PROMETHEUS_PORT" "https://$NODE_IP:6443" "$CLUSTER_DIR/pki" \
    "$REPO/charts/wallex-operator/alerts.yaml"
  prometheus_wait "$STATE" "$HOST_IP" "$PROMETHEUS_PORT"
}

# By force, without protecting the data: it is removed afterwards.
servers_down() {
  prometheus_stop "$STATE" KILL
  kafka_stop "$STATE" KILL
  redis_stop "$STATE"
  postgres_stop "$STATE" QUIT
}

# --- cluster -----------------------------------------------------------------------------------------------------

cluster_alive() { alive "$CLUSTER_DIR" node; }

# kubectl and helm, through the same links that the user gets; with CONTEXT, the user's own if present.
KUBECTL=$STATE/bin/kubectl
HELM=$STATE/bin/helm
link_tools() {
  local tool
  mkdir -p "$STATE/bin"
  for tool in kubectl helm; do
    if [ -n "$CONTEXT" ] && command -v $tool >/dev/null; then
      ln -sfn "$(command -v $tool)" "$STATE/bin/$tool"
    else
      [ -x "$KUBE" ] || "$DEV/install" cluster
      ln -sfn "$KUBE" "$STATE/bin/$tool"
    fi
  done
}

k() {
  if [ -n "$CONTEXT" ]; then "$KUBECTL" --context "$CONTEXT" "$@"; else "$KUBECTL" --kubeconfig "$CLUSTER_DIR/kubeconfig" "$@"; fi
}

# Helm keeps its caches in the state folder, not in the user's home.
h() {
  local to=(--kubeconfig "$CLUSTER_DIR/kubeconfig")
  [ -z "$CONTEXT" ] || to=(--kube-context "$CONTEXT")
  HELM_CACHE_HOME=$STATE/helm HELM_CONFIG_HOME=$STATE/helm HELM_DATA_HOME=$STATE/helm "$HELM" "${to[@]}" "$@"
}

# api_url: the address of the platform's API, which this machine can reach directly. It changes when the object is recreated.
api_url() { echo "http://$(k -n "$NAMESPACE" get service "$PLATFORM-command" -o jsonpath='{.spec.clusterIP}'):8080"; }

# write_env: the settings with which a program on this machine becomes part of the platform: `wallex-bench`, `wallex verify`, …
write_env() {
  (
    umask 077
    cat >"$STATE/env" <<ENV
export WALLEX_API_URL=$(api_url)
export WALLEX_CLUSTER=$(k get namespace kube-system -o jsonpath='{.metadata.uid}')
export WALLEX_NAMESPACE=$NAMESPACE
export WALLEX_PLATFORM=$PLATFORM
export WALLEX_DATABASE_URL=$DATABASE_URL
export WALLEX_KAFKA_BOOTSTRAP_SERVERS=$KAFKA_BOOTSTRAP_SERVERS
export WALLEX_REDIS_URL=$REDIS_URL
export PROMETHEUS_URL=$PROMETHEUS_URL
ENV
  )
}
