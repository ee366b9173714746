# shellcheck shell=bash
SUITE=full
EXPECT='The events topic is deleted under load: this is reported, the topic is recreated and filled from seq 1, and no request fails'

reported() {
  k -n "$NAMESPACE" get events -o json |
    jq -e --arg reason "$1" --arg since "$2" '.items[] | select(.reason == $reason and ((.eventTime // .lastTimestamp // .firstTimestamp) >= $since))'
}
# seqs OFFSET PARTITION: the seq of the record at that end of the partition (earliest).
first_seq() {
  kafka_tool org.apache.kafka.tools.consumer.ConsoleConsumer --topic wallet-events --partition "$1" --offset earliest --max-messages 1 \
    --timeout-ms 10000 --formatter-property print.headers=true --formatter-property print.value=false 2>/dev/null |
    grep -o 'ce_seq:[0-9]*' | cut -d: -f2
}
published() { kafka_tool org.apache.kafka.tools.GetOffsetShell --topic wallet-events | awk -F: '{ sum += $3 } END { print sum + 0 }'; }
filled() { [ "$(published)" -ge "$(events)" ]; }

run_test() {
  local since partitions
  partitions=$(partitions_of wallet-events)
  since=$(date -u +%Y-%m-%dT%H:%M:%S)
  lose_it() {
    topic --delete --topic wallet-events
    until_true 120 reported TopicMissing "$since" || die "TopicMissing is not reported: $(condition TopicsReady)"
    until_true 120 reported TopicRecreated "$since" || die "TopicRecreated is not reported: $(condition TopicsReady)"
    until_true 60 has_partitions wallet-events "$partitions" || die "the topic has $(partitions_of wallet-events) partitions, not $partitions"
    platform_wait 180
  }
  under_load lose_it
  until_true 60 filled || die "the topic has $(published) records, the journal $(events) events"
  local partition=0
  while [ "$partition" -lt "$partitions" ]; do
    [ "$(first_seq "$partition")" = 1 ] || die "partition $partition begins with seq $(first_seq "$partition"), not 1"
    partition=$((partition + 1))
  done
}
