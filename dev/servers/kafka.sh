# shellcheck shell=bash
# Kafka, one node that is broker and controller (KRaft), run from the published jars. Sourced after lib.sh.

KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$DEV/servers/kafka/pom.xml")
KAFKA_LIBS=$CACHE/kafka/$KAFKA_VERSION/libs

# kafka_java ARGS…: with few threads and the quick compiler first: the broker shares two cores with everything else.
kafka_java() {
  exec java -Xmx"${KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:-UsePerfData -XX:TieredStopAtLevel="${KAFKA_COMPILER:-4}" -Xshare:auto \
    -Djava.io.tmpdir="$KAFKA_TMP" -Dlog4j2.configurationFile="$DEV/servers/kafka/log4j2.properties" -cp "$KAFKA_LIBS/*" "$@"
}

# kafka_start DIR ADDRESS PORT CONTROLLER_PORT: topics are made by who needs them, never by the broker on first use.
kafka_start() {
  local dir=$1 address=$2 port=$3 controller=$4 id
  # Native libraries are unpacked there, and nobody else cleans them up.
  export KAFKA_TMP=$dir/kafka/tmp
  mkdir -p "$KAFKA_TMP"
  [ -d "$KAFKA_LIBS" ] || die "Kafka's jars are not there: run dev/install"
  mkdir -p "$dir/kafka" "$dir/log"
  cat >"$dir/kafka/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://$address:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://$address:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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
# A group that waits for more members before its first assignment only costs every start three seconds.
group.initial.rebalance.delay.ms=0
PROPERTIES
  if [ ! -e "$dir/kafka/data/meta.properties" ]; then
    # The id is what StorageTool's random-uuid makes: 16 random bytes in URL-safe base64. It saves one JVM start.
    id=$(openssl rand -base64 16 | tr '+/' '-_' | tr -d '=')
    (KAFKA_COMPILER=1 kafka_java kafka.tools.StorageTool format -t "${id/#-/A}" -c "$dir/kafka/server.properties") \
      >>"$dir/log/kafka.log" 2>&1 || { tail -n 20 "$dir/log/kafka.log" >&2; die "formatting Kafka's data folder failed"; }
  fi
  # The log of an earlier start would tell kafka_wait that this one is ready.
  rm -f "$dir/log/kafka.log"
  spawn "$dir" kafka bash -c '. "$1/lib.sh"; . "$1/servers/kafka.sh"; shift; kafka_java "$@"' bash "$DEV" \
    kafka.Kafka "$dir/kafka/server.properties"
}

# kafka_wait DIR
kafka_wait() {
  kafka_ready() { grep -q 'Kafka Server started' "$1/log/kafka.log"; }
  until_true 60 kafka_ready "$1" || { tail -n 20 "$1/log/kafka.log" >&2; die "Kafka did not start; see $1/log/kafka.log"; }
}

# kafka_stop DIR [SIGNAL]: TERM closes the logs in order; KILL is for data that is thrown away anyway.
kafka_stop() { end "$1" kafka "${2:-TERM}"; }
