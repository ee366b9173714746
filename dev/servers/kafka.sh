# shellcheck shell=bash
# Kafka: one node as broker and controller (KRaft), run from the published jars. Sourced after lib.sh.

KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$DEV/servers/kafka/pom.xml")
KAFKA_LIBS=$CACHE/kafka/$KAFKA_VERSION/libs

# kafka_java ARGS…: with a small heap and the serial collector, because the broker shares two cores with everything else.
kafka_java() {
  exec java -Xmx"${KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:-UsePerfData -XX:TieredStopAtLevel="${KAFKA_COMPILER:-4}" -Xshare:auto \
    -Djava.io.tmpdir="$KAFKA_TMP" -Dlog4j2.configurationFile="$DEV/servers/kafka/log4j2.properties" -cp "$KAFKA_LIBS/*" "$@"
}

# kafka_secure DIR ADDRESS PORT PASSWORD: settings of a second listener with TLS and a user (wallex) with a password, by SCRAM or
# PLAIN. Its authority is DIR/kafka/ca.crt.
kafka_secure() {
  local dir=$1/kafka address=$2 port=$3 password=$4
  (
    umask 077
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=Kafka test authority' \
      -keyout "$dir/ca.key" -out "$dir/ca.crt"
    openssl req -newkey rsa:2048 -nodes -subj '/CN=kafka' -keyout "$dir/broker.key" -out "$dir/broker.csr"
    openssl x509 -req -in "$dir/broker.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial -days 3650 \
      -extfile <(echo "subjectAltName=IP:$address") -out "$dir/broker.crt"
    cat "$dir/broker.key" "$dir/broker.crt" >"$dir/broker.pem"
  ) >"$1/log/kafka-certificates.log" 2>&1 || die "no certificates for Kafka; see $1/log/kafka-certificates.log"
  cat <<PROPERTIES
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location=$dir/broker.pem
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_wallex="$password";
PROPERTIES
}

# kafka_start DIR ADDRESS PORT CONTROLLER_PORT [SECURE_PORT PASSWORD]: the broker never creates topics on first use; whoever needs
# them does. With SECURE_PORT there is a second listener: kafka_secure.
kafka_start() {
  local dir=$1 address=$2 port=$3 controller=$4 secure=${5:-} password=${6:-} id extra='' map='' scram=()
  # Native libraries are unpacked here; nothing else would clean them up.
  export KAFKA_TMP=$dir/kafka/tmp
  mkdir -p "$KAFKA_TMP"
  [ -d "$KAFKA_LIBS" ] || die "Kafka's jars are not there: run dev/install"
  mkdir -p "$dir/kafka" "$dir/log"
  if [ -n "$secure" ]; then
    extra=,SECURE://$address:$secure
    map=,SECURE:SASL_SSL
    scram=(--add-scram "SCRAM-SHA-512=[name=wallex,password=$password]")
  fi
  cat >"$dir/kafka/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$address:$port,CONTROLLER://127.0.0.1:$controller$extra
advertised.listeners=PLAINTEXT://$address:$port$extra
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$map
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/kafka/data
auto.create.topics.enable=false
delete.topic.enable=true
# One node: nothing to replicate to.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Waiting for more members before a group's first assignment would only cost three seconds on every start.
group.initial.rebalance.delay.ms=0
PROPERTIES
  [ -z "$secure" ] || kafka_secure "$dir" "$address" "$secure" "$password" >>"$dir/kafka/server.properties"
  if [ ! -e "$dir/kafka/data/meta.properties" ]; then
    # The id has the form of StorageTool's random-uuid: 16 random bytes in URL-safe base64. This saves one JVM start.
    id=$(openssl rand -base64 16 | tr '+/' '-_' | tr -d '=')
    (KAFKA_COMPILER=1 kafka_java kafka.tools.StorageTool format -t "${id/#-/A}" -c "$dir/kafka/server.properties" "${scram[@]}") \
      >>"$dir/log/kafka.log" 2>&1 || { tail -n 20 "$dir/log/kafka.log" >&2; die "formatting Kafka's data folder failed"; }
  fi
  # With the log of an earlier start, kafka_wait would believe that this one is ready.
  rm -f "$dir/log/kafka.log"
  spawn "$dir" kafka bash -c '. "$1/lib.sh"; . "$1/servers/kafka.sh"; shift; kafka_java "$@"' bash "$DEV" \
    kafka.Kafka "$dir/kafka/server.properties"
}

# kafka_wait DIR
kafka_wait() {
  kafka_ready() { grep -q 'Kafka Server started' "$1/log/kafka.log"; }
  until_true 60 kafka_ready "$1" || { tail -n 20 "$1/log/kafka.log" >&2; die "Kafka did not start; see $1/log/kafka.log"; }
}

# kafka_stop DIR [SIGNAL]: TERM closes the logs properly; KILL is for data that is thrown away anyway.
kafka_stop() { end "$1" kafka "${2:-TERM}"; }
