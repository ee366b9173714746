//! The events topic as the source, as a member of the projection's consumer group.
//!
//! Offsets are committed after what they stand for is in the database, for display and lag only: a group
//! that lost its offsets takes a place at the end when it has applied everything, and otherwise reads again and drops;
//! one whose offsets are ahead of the cursor has the hole filled from the journal.

mod group;
mod message;
mod places;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::{Instant, timeout_at};
use wallex_domain::{Mark, Partition};
use wallex_journal::cloud_event;
use wallex_runtime::settings::Settings;

use self::group::{Assignment, Context};
use self::message::{Content, Received, receive, take};
use self::places::{ASKING, ends_to_skip_to, has_more};
use super::{IDLE, News, fetching};
use crate::ProjectorError;
use crate::inbox::Batch;

/// A batch is closed when nothing more has come for `GAP`, and after `WHOLE` in any case.
const GAP: Duration = Duration::from_millis(5);
const WHOLE: Duration = Duration::from_millis(50);
/// Between two commits of offsets.
const COMMIT: Duration = Duration::from_millis(500);
/// Between two signs of life while a batch takes long. The group waits five minutes
/// (`max.poll.interval.ms`), but a rebalance waits for every member.
const STAY: Duration = Duration::from_secs(1);

/// So many messages in a row that the cursor has passed are not the few that come twice in a rebalance: the topic was filled
/// anew, or the group lost its offsets.
const REPEATED: usize = 100;

/// A trouble is believed for so long after it was last heard of, unless a message comes. librdkafka speaks of
/// brokers when it tries them, and of a missing topic whenever it asks for the topic.
const TROUBLE: Duration = Duration::from_secs(35);

pub(crate) struct KafkaSource {
    consumer: Arc<StreamConsumer<Context>>,
    assignment: Arc<Assignment>,
    topic: String,
    source: String,
    /// Messages that came while a batch took long.
    early: VecDeque<Received>,
    paused: bool,
    last_poll: Instant,
    uncommitted: BTreeMap<Partition, i64>,
    /// Assigned partitions in which the group has a place, as far as this process knows.
    placed: BTreeSet<Partition>,
    /// Partitions that are read again although the cursor has passed what comes.
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
        let mut news = News {
            batch: Batch::default(),
            refused: 0,
            trouble: None,
        };
        let mut count = 0;
        let mut old: BTreeMap<Partition, usize> = BTreeMap::new();
        while let Some(received) = self.early.pop_front() {
            take(&mut news, received);
            count += 1;
        }
        let started = Instant::now();
        // When the batch is closed if nothing more comes, and, from the first message on, in any case.
        let mut until = started + if count == 0 && !hurry { IDLE } else { GAP };
        let mut end = (count > 0).then_some(started + WHOLE);
        while count < limit && Instant::now() < until {
            match timeout_at(until, self.consumer.recv()).await {
                Err(_) => break,
                // librdkafka goes on trying by itself.
                Ok(Err(error)) => note(&mut self.trouble, &error),
                Ok(Ok(message)) => {
                    let received = receive(&message, &self.source, cursors);
                    if matches!(received.content, Content::Old) {
                        *old.entry(received.partition).or_default() += 1;
                    }
                    take(&mut news, received);
                    count += 1;
                    let now = Instant::now();
                    until = (now + GAP).min(*end.get_or_insert(now + WHOLE));
                }
            }
        }
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

    /// Keeps the membership while no messages are wanted.
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
        // Serves rebalances. A message that was on its way is kept.
        let soon = Instant::now() + Duration::from_millis(1);
        if let Ok(Ok(message)) = timeout_at(soon, self.consumer.recv()).await {
            self.early
                .push_back(receive(&message, &self.source, &BTreeMap::new()));
        }
    }

    /// Those of the partitions of which the topic has records that are still to come. Brokers that don't say are asked no
    /// further: waiting for each partition in turn would keep all of them from being read.
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

    /// The ends of assigned partitions in which the group has no committed offset, or reads again what was applied. Each is
    /// looked at until it has a place.
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

    /// Goes on after `ends` (exclusive), and takes its place there.
    pub(crate) async fn skip_to(&mut self, ends: BTreeMap<Partition, i64>) {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let seeking = move || {
            ends.into_iter()
                .filter(|(partition, end)| {
                    // Fails while the partition is not read yet, and is tried again.
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
                // Fails for an offset that can't be one; there is none such.
                let _ = list.add_partition_offset(&self.topic, partition.0, Offset::Offset(offset + 1));
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "offsets could not be committed");
        }
    }

    /// Leaves the group, so that the others take over at once.
    pub(crate) async fn leave(mut self) {
        // Closing waits for the brokers.
        let _ = tokio::task::spawn_blocking(move || {
            self.commit(CommitMode::Sync);
            drop(self);
        })
        .await;
    }
}

/// Remembers an error that somebody has to know of; one broker's connection comes and goes.
fn note(trouble: &mut Option<(Instant, String)>, error: &KafkaError) {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::BrokerTransportFailure) {
        tracing::debug!(%error, "Kafka consumer");
    } else {
        let text = format!("Kafka (WALLEX_KAFKA_BOOTSTRAP_SERVERS): {error}");
        *trouble = Some((Instant::now(), text));
    }
}
