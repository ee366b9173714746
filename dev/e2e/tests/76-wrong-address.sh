# shellcheck shell=bash
SUITE=full
EXPECT='A Kafka address that does not answer reaches no pod: the platform says KafkaUnreachable, keeps its current connection, and follows once the address answers'
run_test() {
  local before
  before=$(template_hashes)
  wrong() {
    change '{"spec": {"kafka": {"bootstrapServers": "'"${KAFKA_BOOTSTRAP_SERVERS%:*}"':9"}}}'
    expect_says 90 TopicsReady False KafkaUnreachable 'pods keep the connection'
    expect_says 10 Degraded True KafkaUnreachable
    sleep 20 # several checks by the operator
    [ "$(template_hashes)" = "$before" ] || die "pods were replaced: $(template_hashes)"
    [ "$(field '.data.WALLEX_KAFKA_BOOTSTRAP_SERVERS' configmap "$PLATFORM-config")" = "$KAFKA_BOOTSTRAP_SERVERS" ] || die "the ConfigMap has the wrong address"
    change '{"spec": {"kafka": {"bootstrapServers": "'"$KAFKA_BOOTSTRAP_SERVERS"'"}}}'
    platform_wait 120
  }
  under_load wrong
  [ "$(template_hashes)" = "$before" ] || die "pods were replaced"
}
