//! The content of a [`super::Overview`]. Anything unknown is null, never 0: a lag of 0 means that there is none.

use serde::Serialize;
use utoipa::ToSchema;

/// Kafka, as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KafkaHealth)]
pub struct Report {
    pub status: Status,
    /// What is wrong, unless ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Brokers that are registered.
    pub brokers: usize,
    /// The events topic, then the one of dead letters.
    pub topics: Vec<Topic>,
    /// The projections' consumer groups.
    pub groups: Vec<Group>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KafkaStatus)]
pub enum Status {
    /// A broker answers, and each topic is there with a leader for every partition.
    Ready,
    Unready,
    /// This process has no Kafka, and does without.
    NotConfigured,
}

/// One of the platform's topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KafkaTopic)]
pub struct Topic {
    pub name: String,
    pub partitions: Vec<TopicPartition>,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KafkaTopicPartition)]
pub struct TopicPartition {
    pub partition: i32,
    /// Broker that leads the partition; null: none does.
    #[schema(required = true)]
    pub leader: Option<i32>,
    /// Offset of the first message that is kept; null: not known.
    #[schema(required = true)]
    pub first_offset: Option<i64>,
    /// Offset that the next message will get; null: not known.
    #[schema(required = true)]
    pub end_offset: Option<i64>,
}

/// A projection's consumer group on the events topic. A projector applies first and commits offsets afterwards, for
/// display only: the lag is never smaller than the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KafkaGroup)]
pub struct Group {
    pub name: String,
    /// Messages that are not consumed yet, over all partitions; null: not known.
    #[schema(required = true)]
    pub lag: Option<i64>,
    pub partitions: Vec<GroupPartition>,
}

/// How far a group is on a partition of the events topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KafkaGroupPartition)]
pub struct GroupPartition {
    pub partition: i32,
    /// Offset of the next message to consume; null: the group has committed none yet.
    #[schema(required = true)]
    pub committed_offset: Option<i64>,
    /// Messages that are not consumed yet; null: not known.
    #[schema(required = true)]
    pub lag: Option<i64>,
}

impl Report {
    pub(super) fn empty(status: Status, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            brokers: 0,
            topics: Vec::new(),
            groups: Vec::new(),
        }
    }

    pub(super) fn unready(reason: impl Into<String>) -> Self {
        Self::empty(Status::Unready, reason)
    }
}

/// The messages that are kept and not consumed. A group without an offset begins at the first message.
pub(super) fn lag(partition: &TopicPartition, committed: Option<i64>) -> Option<i64> {
    let (first, end) = (partition.first_offset?, partition.end_offset?);
    Some((end - committed.unwrap_or(first).max(first)).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_is_kept_and_not_consumed() {
        let partition = |first_offset, end_offset| TopicPartition {
            partition: 0,
            leader: Some(1),
            first_offset,
            end_offset,
        };
        for (first, end, committed, expected) in [
            (0, 10, Some(7), 3),
            (0, 10, Some(10), 0),
            (4, 10, None, 6),
            // Retention removed what the group had not read.
            (4, 10, Some(2), 6),
            // The topic was recreated.
            (0, 3, Some(10), 0),
        ] {
            let kept = partition(Some(first), Some(end));
            assert_eq!(
                lag(&kept, committed),
                Some(expected),
                "{first} {end} {committed:?}"
            );
        }
        assert_eq!(lag(&partition(None, Some(10)), Some(7)), None);
    }
}
