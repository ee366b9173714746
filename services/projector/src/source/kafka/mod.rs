//! The events topic as the source, read as a member of the projection's consumer group.
//!
//! Offsets are committed after the events they stand for are in the database, and only for display and lag. A group
//! that lost its offsets moves to the end once it has applied everything; otherwise it reads again and drops what it
//! knows. A group whose offsets are ahead of the cursor has the hole filled from the journal.

mod gathering;
mod group;
mod message;
mod places;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::{Instant, timeout_at};
use wallex_domain::{Mark, Partition};
use wallex_journal::cloud_event;
use wallex_runtime::settings::Settings;

use self::gathering::Gathering;
use self::group::{Assignment, Context};
use self::message::{Content, Received, receive, take};
use self::places::{ASKING, ends_to_skip_to, has_more};
use super::{News, fetching};
use crate::ProjectorError;

/// Pause between two commits of offsets.
const COMMIT: Duration = Duration::from_millis(500);
/// Pause between two signs of life while a batch takes long. The group waits five minutes (`max.poll.interval.ms`),
/// but a rebalance waits for every member.
const STAY: Duration = Duration::from_secs(1);

/// This many messages in a row that the cursor has already passed are not the few repeated by a rebalance: the topic was
/// refilled, or the group lost its offsets.
const REPEATED: usize = 100;

/// How long an error counts after it was last reported, unless a message arrives. librdkafka reports brokers when it
/// tries them, and a missing topic whenever it asks for the topic.
const TROUBLE: Duration = Duration::from_secs(35);

pub(crate) struct KafkaSource {
    consumer: Arc<StreamConsumer<Context>>,
    assignment: Arc<Assignment>,
    topic: String,
    source: String,
    /// Messages that arrived while a batch took long.
    early: VecDeque<Received>,
    paused: bool,
    last_poll: Instant,
    gathering: Gathering,
    uncommitted: BTreeMap<Partition, i64>,
    /// Assigned partitions in which the group has an offset, as far as this process knows.
    placed: BTreeSet<Partition>,
    /// Partitions that are read again although the cursor has passed what arrives.
    repeated: BTreeSet<Partition>,
    last_commit: Instant,
    trouble: Option<(Instant, String)>,
}

impl KafkaSource {
    pub(crate) fn join(settings: &Settings, group: &str) -> Result<Self, ProjectorError> {
        let assignment = Arc::new(Assignment::default());
        let topic = settings.kafka_events_topic.clone();
        let consumer: StreamConsumer<Context> =
            fetching::config(settings, group)?.create_with_context(Context {
                assignment: Arc::clone(&assignment),
                topic: topic.clone(),
            })?;
        consumer.subscribe(&[&topic])?;
        let now = Instant::now();
        Ok(Self {
            consumer: Arc::new(consumer),
            assignment,
            topic,
            source: cloud_event::source(&settings.platform),
            early: VecDeque::new(),
            paused: false,
            last_poll: now,
            gathering: Gathering::of(settings.projector_gather_ms.0),
            uncommitted: BTreeMap::new(),
            placed: BTreeSet::new(),
            repeated: BTreeSet::new(),
            last_commit: now,
            trouble: None,
        })
    }

    pub(crate) fn assigned(&self) -> BTreeSet<Partition> {
        self.assignment.now()
    }

    pub(crate) async fn next(
        &mut self,
        cursors: &BTreeMap<Partition, Mark>,
        limit: usize,
        hurry: bool,
    ) -> News {
        self.resume();
        let mut news = News::default();
        let mut count = 0;
        let mut old: BTreeMap<Partition, usize> = BTreeMap::new();
        while let Some(received) = self.early.pop_front() {
            take(&mut news, received);
            count += 1;
        }
        let window = self.gathering.begin(hurry);
        let received = |received: Result<BorrowedMessage<'_>, KafkaError>| match received {
            // librdkafka retries on its own.
            Err(error) => {
                note(&mut self.trouble, &error);
                false
            }
            Ok(message) => {
                let received = receive(&message, &self.source, cursors);
                if matches!(received.content, Content::Old) {
                    *old.entry(received.partition).or_default() += 1;
                }
                take(&mut news, received);
                true
            }
        };
        let count = window
            .gather(count, limit, || self.consumer.recv(), received)
            .await;
        self.gathering.ended(count > 0);
        let repeated = old.into_iter().filter(|(_, count)| *count >= REPEATED);
        self.repeated.extend(repeated.map(|(partition, _)| partition));
        self.last_poll = Instant::now();
        self.commit_now_and_then();
        let is_old = |(heard, _): &(Instant, String)| heard.elapsed() > TROUBLE;
        if count > 0 || self.trouble.as_ref().is_some_and(is_old) {
            self.trouble = None;
        }
        news.trouble = self.trouble.as_ref().map(|(_, trouble)| trouble.clone());
        news
    }

    /// Keeps the group membership while no messages are wanted.
    pub(crate) async fn stay(&mut self) {
        if self.last_poll.elapsed() < STAY {
            return;
        }
        self.last_poll = Instant::now();
        if !self.paused
            && let Ok(all) = self.consumer.assignment()
        {
            self.paused = self.consumer.pause(&all).is_ok();
        }
        // Serves rebalances. A message that was already on its way is kept.
        let soon = Instant::now() + Duration::from_millis(1);
        if let Ok(Ok(message)) = timeout_at(soon, self.consumer.recv()).await {
            self.early
                .push_back(receive(&message, &self.source, &BTreeMap::new()));
        }
    }

    /// The partitions for which the topic has records still to come. After the first broker that does not answer, the rest
    /// are not asked: waiting for each in turn would keep all partitions from being read.
    pub(crate) async fn with_more(&self, partitions: Vec<Partition>) -> BTreeSet<Partition> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let asked = move || {
            let mut with_more = BTreeSet::new();
            for partition in partitions {
                match has_more(&consumer, &topic, partition) {
                    Ok(true) => drop(with_more.insert(partition)),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::debug!(%error, %partition, "Kafka does not say where the partition ends");
                        break;
                    }
                }
            }
            with_more
        };
        tokio::task::spawn_blocking(asked).await.unwrap_or_default()
    }

    /// The ends of assigned partitions in which the group has no committed offset, or is reading again what was applied.
    /// Each is checked until the group has an offset there.
    pub(crate) async fn ends_to_skip_to(&mut self) -> BTreeMap<Partition, i64> {
        let assigned = self.assigned();
        self.placed.retain(|partition| assigned.contains(partition));
        let repeated: BTreeSet<Partition> = std::mem::take(&mut self.repeated)
            .intersection(&assigned)
            .copied()
            .collect();
        let unplaced: Vec<Partition> = assigned.difference(&self.placed).copied().collect();
        if unplaced.is_empty() && repeated.is_empty() {
            return BTreeMap::new();
        }
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let asked = move || ends_to_skip_to(&consumer, &topic, &unplaced, repeated);
        match tokio::task::spawn_blocking(asked).await {
            Ok(Ok((placed, ends))) => {
                self.placed.extend(placed);
                ends
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "Kafka does not say where the group stands");
                BTreeMap::new()
            }
            // Only when it panicked.
            Err(_) => BTreeMap::new(),
        }
    }

    /// Continues at `ends` (exclusive) and commits these offsets.
    pub(crate) async fn skip_to(&mut self, ends: BTreeMap<Partition, i64>) {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let seeking = move || {
            ends.into_iter()
                .filter(|(partition, end)| {
                    // Fails while the partition is not being read yet; it is retried.
                    consumer
                        .seek(&topic, partition.0, Offset::Offset(*end), ASKING)
                        .inspect_err(|error| tracing::debug!(%error, %partition, "no place taken yet"))
                        .is_ok()
                })
                .collect::<Vec<_>>()
        };
        for (partition, end) in tokio::task::spawn_blocking(seeking).await.unwrap_or_default() {
            tracing::info!(%partition, end, "everything up to the topic's end is applied: going on from there");
            self.placed.insert(partition);
            self.uncommitted.insert(partition, end - 1);
        }
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.paused)
            && let Ok(all) = self.consumer.assignment()
            && let Err(error) = self.consumer.resume(&all)
        {
            tracing::warn!(%error, "the consumer could not be resumed");
        }
    }

    pub(crate) fn applied(&mut self, offsets: impl Iterator<Item = (Partition, i64)>) {
        for (partition, offset) in offsets {
            self.placed.insert(partition);
            self.uncommitted.insert(partition, offset);
        }
    }

    fn commit_now_and_then(&mut self) {
        if self.last_commit.elapsed() >= COMMIT {
            self.last_commit = Instant::now();
            self.commit(CommitMode::Async);
        }
    }

    fn commit(&mut self, mode: CommitMode) {
        let assigned = self.assigned();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.uncommitted) {
            if assigned.contains(&partition) {
                // Fails only for an impossible offset, and there is none here.
                let _ = list.add_partition_offset(&self.topic, partition.0, Offset::Offset(offset + 1));
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "offsets could not be committed");
        }
    }

    /// Leaves the group, so that the other members take over at once.
    pub(crate) async fn leave(mut self) {
        // Closing waits for the brokers.
        let _ = tokio::task::spawn_blocking(move || {
            self.commit(CommitMode::Sync);
            drop(self);
        })
        .await;
    }
}

/// Remembers an error that people must know about; a single broker's connection comes and goes.
fn note(trouble: &mut Option<(Instant, String)>, error: &KafkaError) {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::BrokerTransportFailure) {
        tracing::debug!(%error, "Kafka consumer");
    } else {
        let text = format!("Kafka (WALLEX_KAFKA_BOOTSTRAP_SERVERS): {error}");
        *trouble = Some((Instant::now(), text));
    }
}
