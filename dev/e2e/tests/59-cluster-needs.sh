# shellcheck shell=bash
SUITE=full
EXPECT='Pull secrets, private authorities and the user of the namespace reach every pod; Secrets of Strimzi work unchanged'

pod_specs() { k -n "$NAMESPACE" get deployments,cronjobs -o json | jq -c '.items[] | (.spec.template // .spec.jobTemplate.spec.template).spec'; }
every_pod() { [ "$(pod_specs | jq -s --argjson n 6 "length == \$n and all(.[]; $1)")" = true ] || die "not in every pod: $1"; }

run_test() {
  local NAMESPACE=e2e-needs PLATFORM=needy url ca=$STATE/e2e/database-ca.crt
  url=$(new_database e2e_needs)
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=e2e -keyout /dev/null -out "$ca" 2>/dev/null
  k create namespace "$NAMESPACE"
  k -n "$NAMESPACE" create secret generic database-ca --from-file=ca.crt="$ca"
  k -n "$NAMESPACE" create secret docker-registry registry --docker-server=r.example.com --docker-username=u --docker-password=p
  # As Strimzi creates them: the user's name is the Secret's, and the cluster's authority has the key ca.crt.
  k -n "$NAMESPACE" create secret generic main-cluster-ca-cert --from-file=ca.crt="$STATE/kafka/ca.crt"
  # As OpenShift and trust-manager create them, too large for a variable.
  for _ in $(seq 120); do cat "$STATE/kafka/ca.crt"; done >"$ca.bundle"
  k -n "$NAMESPACE" create configmap trust --from-file=ca-bundle.crt="$ca.bundle"
  printf '%s' "$KAFKA_PASSWORD" | k -n "$NAMESPACE" create secret generic wallex --from-file=password=/dev/stdin --from-literal=sasl.jaas.config=x
  platform_in "$NAMESPACE" "$PLATFORM" "$url" "$(jq -nc --arg kafka "$HOST_IP:$KAFKA_SECURE_PORT" '{spec: {
    imagePullSecrets: [{name: "registry"}], runAs: "Namespace", database: {caSecretRef: {name: "database-ca"}},
    kafka: {bootstrapServers: $kafka, tls: {caSecretRef: {name: "main-cluster-ca-cert"}}, sasl: {secretRef: {name: "wallex"}}}}}')"
  platform_wait 240
  every_pod '.imagePullSecrets == [{name: "registry"}]'
  every_pod '.securityContext | (has("runAsUser") or has("fsGroup") | not) and .runAsNonRoot'
  every_pod '.containers[0].env | any(.name == "PGSSLROOTCERT" and .value == "/etc/wallex/database-ca/ca.crt")'
  (DATABASE_URL=$url && bench --wallets 10 --operations 200 --workers 4)
  k -n "$NAMESPACE" patch walletplatform "$PLATFORM" --type=merge \
    -p '{"spec": {"kafka": {"tls": {"caSecretRef": null, "caConfigMapRef": {"name": "trust", "key": "ca-bundle.crt"}}}}}'
  platform_wait 240
  [ "$(k -n "$NAMESPACE" get deployment "$PLATFORM-publisher" -o json | jq -r '.spec.template.spec.volumes[] | select(.name == "kafka-ca").configMap.name')" = trust ] ||
    die "the brokers' authorities are not taken from the ConfigMap"
  (DATABASE_URL=$url && bench --wallets 10 --operations 200 --workers 4)
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=60s
  topic --delete --topic needy-events
  topic --delete --topic needy-events-dlq
  drop_platform "$NAMESPACE"
  drop_database e2e_needs
}
