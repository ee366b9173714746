//! Finds the last event in the topic before a partition is published. Blocking, bounded in time.
//!
//! The invariant: nothing is published before the topic is known to have a partition for each one of the
//! journal, so that a wallet's events can never land in another partition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use wallex_domain::{Mark, Partition};
use wallex_journal::cloud_event;
use wallex_runtime::kafka::Quiet;

/// How many records to search, from the end, for one that is an event. More than one is needed only when
/// something else wrote to the topic.
const LOOK_BACK: i64 = 20;

/// The end of one topic partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing was ever written: the topic is new or recreated.
    Empty,
    /// No readable event: retention removed it, or the records are foreign.
    Unknown { last_offset: i64 },
    /// The last event, and the offset of the last record.
    Event { mark: Mark, last_offset: i64 },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TopicError {
    #[error("the topic {topic} does not exist (WALLEX_KAFKA_EVENTS_TOPIC): it needs {needed} partitions")]
    Missing { topic: String, needed: usize },
    #[error(
        "the topic {topic} has {found} partitions, the journal {needed}: raise the topic's (they can only grow)"
    )]
    TooFewPartitions {
        topic: String,
        found: usize,
        needed: usize,
    },
    #[error("reading the end of {topic} took longer than {} s", patience.as_secs())]
    TimedOut { topic: String, patience: Duration },
    #[error("Kafka (WALLEX_KAFKA_BOOTSTRAP_SERVERS): {0}")]
    Kafka(#[from] KafkaError),
}

/// Where to find the topic.
#[derive(Clone)]
pub(crate) struct Topic {
    /// For a consumer that never joins its group.
    pub(crate) consumer: ClientConfig,
    pub(crate) name: String,
    /// `ce_source` of this platform's events.
    pub(crate) source: String,
    pub(crate) patience: Duration,
}

impl Topic {
    /// The tails of `partitions`. First makes sure that the topic has at least `needed` partitions.
    pub(crate) fn tails(
        &self,
        partitions: &[Partition],
        needed: usize,
    ) -> Result<BTreeMap<Partition, Tail>, TopicError> {
        let deadline = Instant::now() + self.patience;
        let consumer: BaseConsumer<Quiet> = self.consumer.create_with_context(Quiet)?;
        self.check_partitions(&consumer, needed)?;

        let mut tails = BTreeMap::new();
        let mut ends: BTreeMap<Partition, i64> = BTreeMap::new();
        let mut wanted = TopicPartitionList::new();
        for &partition in partitions {
            let (low, high) = consumer.fetch_watermarks(&self.name, partition.0, self.left(deadline)?)?;
            if high == 0 {
                tails.insert(partition, Tail::Empty);
                continue;
            }
            let unknown = Tail::Unknown {
                last_offset: high - 1,
            };
            tails.insert(partition, unknown);
            if low < high {
                wanted.add_partition_offset(
                    &self.name,
                    partition.0,
                    Offset::Offset(low.max(high - LOOK_BACK)),
                )?;
                ends.insert(partition, high);
            }
        }
        if ends.is_empty() {
            return Ok(tails);
        }
        consumer.assign(&wanted)?;
        while !ends.is_empty() {
            match consumer.poll(self.left(deadline)?.min(Duration::from_millis(100))) {
                None => {}
                // The last record may be one that consumers never see.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ends.remove(&Partition(partition));
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) => {
                    let partition = Partition(message.partition());
                    let Some(&end) = ends.get(&partition) else {
                        continue;
                    };
                    if let Some(mark) = self.event(&message) {
                        tails.insert(
                            partition,
                            Tail::Event {
                                mark,
                                last_offset: end - 1,
                            },
                        );
                    }
                    if message.offset() >= end - 1 {
                        ends.remove(&partition);
                    }
                }
            }
        }
        Ok(tails)
    }

    fn check_partitions(&self, consumer: &BaseConsumer<Quiet>, needed: usize) -> Result<(), TopicError> {
        let metadata = consumer.fetch_metadata(Some(&self.name), self.patience)?;
        let found = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.name)
            .map_or(0, |topic| match topic.error().map(RDKafkaErrorCode::from) {
                None => topic.partitions().len(),
                Some(_) => 0,
            });
        match found {
            0 => Err(TopicError::Missing {
                topic: self.name.clone(),
                needed,
            }),
            found if found < needed => Err(TopicError::TooFewPartitions {
                topic: self.name.clone(),
                found,
                needed,
            }),
            _ => Ok(()),
        }
    }

    fn event(&self, message: &BorrowedMessage<'_>) -> Option<Mark> {
        let headers = message.headers()?;
        let headers = headers.iter().map(|header| (header.key, header.value));
        let event = cloud_event::decode(&self.source, message.key(), message.payload(), headers).ok()?;
        (event.partition.0 == message.partition()).then_some(event.mark())
    }

    fn left(&self, deadline: Instant) -> Result<Duration, TopicError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(TopicError::TimedOut {
                topic: self.name.clone(),
                patience: self.patience,
            })
        } else {
            Ok(left)
        }
    }
}
