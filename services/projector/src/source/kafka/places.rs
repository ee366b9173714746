//! Asks the brokers where partitions end and where the group stands in them. Blocks: the client offers no other way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use wallex_domain::Partition;

use super::group::Context;

/// How long the brokers may take to report the end of a partition.
pub(super) const ASKING: Duration = Duration::from_secs(1);

/// Whether the topic has records in `partition` that the group has not read.
pub(super) fn has_more(
    consumer: &StreamConsumer<Context>,
    topic: &str,
    partition: Partition,
) -> Result<bool, KafkaError> {
    let (first, end) = consumer.fetch_watermarks(topic, partition.0, ASKING)?;
    let known = |list: &TopicPartitionList| {
        let element = list.find_partition(topic, partition.0)?;
        match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    // Before its first message a consumer stands where its group was, or at the beginning.
    let next = match known(&consumer.position()?) {
        Some(next) => next,
        None => {
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, partition.0);
            known(&consumer.committed_offsets(list, ASKING)?).unwrap_or(first)
        }
    };
    Ok(next.max(first) < end)
}

/// The `partitions` in which the group has an offset, and the ends of the others and of `also`.
pub(super) fn ends_to_skip_to(
    consumer: &StreamConsumer<Context>,
    topic: &str,
    partitions: &[Partition],
    also: BTreeSet<Partition>,
) -> Result<(Vec<Partition>, BTreeMap<Partition, i64>), KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition.0);
    }
    let mut placed = Vec::new();
    let mut wanted = also;
    for element in consumer
        .committed_offsets(list, ASKING)?
        .elements_for_topic(topic)
    {
        let partition = Partition(element.partition());
        match element.offset() {
            Offset::Offset(_) => placed.push(partition),
            _ => drop(wanted.insert(partition)),
        }
    }
    let mut ends = BTreeMap::new();
    for partition in wanted {
        let (_, end) = consumer.fetch_watermarks(topic, partition.0, ASKING)?;
        ends.insert(partition, end);
    }
    Ok((placed, ends))
}
