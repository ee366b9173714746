# shellcheck shell=bash
SUITE=full
EXPECT='A platform uses TLS and SCRAM with Kafka, operator and pods alike; a wrong password is reported as KafkaNotAuthorized, and the platform recovers'
credentials() {
  printf '%s' "$1" | k -n "$NAMESPACE" create secret generic kafka-user --from-literal=username=wallex --from-file=password=/dev/stdin \
    --dry-run=client -o yaml | k apply --server-side --force-conflicts -f -
}
run_test() {
  local NAMESPACE=e2e-tls PLATFORM=sealed url
  url=$(new_database e2e_tls)
  k create namespace "$NAMESPACE"
  k -n "$NAMESPACE" create secret generic kafka-ca --from-file=ca.crt="$STATE/kafka/ca.crt"
  credentials wrong
  platform_in "$NAMESPACE" "$PLATFORM" "$url" "$(jq -nc --arg kafka "$HOST_IP:$KAFKA_SECURE_PORT" '{spec: {kafka: {
    bootstrapServers: $kafka, tls: {caSecretRef: {name: "kafka-ca"}},
    sasl: {mechanism: "SCRAM-SHA-512", secretRef: {name: "kafka-user"}}}}}')"
  expect_says 120 TopicsReady False KafkaNotAuthorized
  credentials "$KAFKA_PASSWORD"
  platform_wait 240
  (DATABASE_URL=$url && bench --wallets 10 --operations 500 --workers 4)
  # Nothing used the listener without a password: the pods do not know it.
  [ "$(field .data.WALLEX_KAFKA_BOOTSTRAP_SERVERS configmap "$PLATFORM-config")" = "$HOST_IP:$KAFKA_SECURE_PORT" ] ||
    die "the pods have another Kafka address"
  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=60s
  topic --delete --topic sealed-events
  topic --delete --topic sealed-events-dlq
  drop_platform "$NAMESPACE"
  drop_database e2e_tls
}
