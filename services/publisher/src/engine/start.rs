//! Before a partition is published: reads the end of the topic and compares it with the journal.
//!
//! The invariant: publishing starts after an event that the journal still has, and never after one that the
//! topic lacks.

use tokio::time::Instant;
use wallex_domain::{Mark, Partition};
use wallex_journal::read;

use super::{Engine, LOOK_AGAIN, Looked, Stage};
use crate::producer::Producer;
use crate::topic::Tail;

impl Engine {
    /// Reads the end of the topic for the partitions that wait for it, on a separate thread.
    pub(super) async fn start_look(&mut self) {
        let now = Instant::now();
        let wanted: Vec<Partition> = self
            .mine(|track| matches!(track.stage, Stage::Looking))
            .into_keys()
            .collect();
        if self.looking || now < self.next_look || (self.usable && wanted.is_empty()) {
            return;
        }
        let needed = match read::partitions(&self.journal).await {
            Ok(heads) => heads.len(),
            Err(error) => return self.report_journal(Some(&error)),
        };
        if needed == 0 {
            return self.report_outage("it has no partitions: run `wallex migrate`");
        }
        self.looking = true;
        let (topic, look) = (self.topic.clone(), self.look.clone());
        tokio::task::spawn_blocking(move || {
            // Fails only when the publisher is gone.
            let _ = look.send(topic.tails(&wanted, needed));
        });
    }

    pub(super) async fn resume(&mut self, looked: Looked) {
        self.looking = false;
        let now = Instant::now();
        let tails = match looked.map_err(|error| error.to_string()).and_then(|tails| {
            self.ensure_producer()?;
            Ok(tails)
        }) {
            Ok(tails) => tails,
            Err(cause) => {
                if std::mem::replace(&mut self.usable, false) {
                    self.unusable_since = now;
                }
                self.topic_outage.failed(&cause);
                self.next_look = now + self.look_backoff.next_delay();
                self.next_tick = self.next_tick.min(self.next_look);
                return;
            }
        };
        self.look_backoff.reset();
        self.topic_outage.over();
        self.topic_check.set_ready();
        if !std::mem::replace(&mut self.usable, true) {
            self.next_tick = now;
        }
        for (partition, tail) in tails {
            if let Err(error) = self.start(partition, tail).await {
                // Stays `Looking`: the next tick retries.
                self.report_journal(Some(&error));
            }
        }
        self.next_poll = now;
    }

    pub(super) fn ensure_producer(&mut self) -> Result<(), String> {
        if self.producer.is_none() {
            self.lives += 1;
            let producer = Producer::create(
                &self.config.producer,
                &self.config.topic,
                &self.topic.source,
                self.lives,
                self.deliver.clone(),
            );
            self.producer = Some(producer.map_err(|error| format!("no Kafka producer: {error}"))?);
        }
        Ok(())
    }

    /// Starts publishing a partition whose topic ends with `tail`, once the journal confirms both the checkpoint
    /// and that tail.
    pub(super) async fn start(&mut self, partition: Partition, tail: Tail) -> sqlx::Result<()> {
        let checkpoint = match self.tracks.get(&partition) {
            Some(track) if matches!(track.stage, Stage::Looking) => track.progress.acked(),
            Some(_) | None => return Ok(()),
        };
        let (from, last_offset) = match tail {
            Tail::Empty => (Mark::BEGINNING, -1),
            Tail::Unknown { last_offset } => (checkpoint, last_offset),
            Tail::Event { mark, last_offset } if mark.seq < checkpoint.seq => (mark, last_offset),
            Tail::Event { last_offset, .. } => (checkpoint, last_offset),
        };
        if !self.journal_has(partition, checkpoint).await? {
            self.rewound(
                partition,
                &format!("the checkpoint is event {partition}:{}", checkpoint.seq),
            );
            return Ok(());
        }
        if let Tail::Event { mark, .. } = tail
            && !self.journal_has(partition, mark).await?
        {
            self.rewound(
                partition,
                &format!(
                    "the topic {} ends with event {partition}:{}",
                    self.config.topic, mark.seq
                ),
            );
            return Ok(());
        }
        if from.seq < checkpoint.seq {
            tracing::warn!(
                %partition, from = from.seq, checkpoint = checkpoint.seq,
                "the topic holds less than was published (recreated?): filling it from the journal"
            );
        }
        if let Some(track) = self.tracks.get_mut(&partition) {
            track.progress.resume(from, last_offset);
            track.stage = Stage::Publishing;
            track.moved = Instant::now();
            self.metrics.rewound(partition, false);
        }
        Ok(())
    }

    pub(super) async fn journal_has(&self, partition: Partition, mark: Mark) -> sqlx::Result<bool> {
        if mark.seq == 0 {
            return Ok(mark == Mark::BEGINNING);
        }
        let mut journal = wallex_postgres::begin(&self.journal, read::BEGIN).await?;
        let found = read::events(&mut *journal, partition, mark.seq - 1, 1).await?;
        journal.commit().await?;
        Ok(found
            .first()
            .is_some_and(|event| event.seq == mark.seq && event.hash == mark.hash))
    }

    pub(super) fn rewound(&mut self, partition: Partition, what: &str) {
        let Some(track) = self.tracks.get_mut(&partition) else {
            return;
        };
        let reason = format!(
            "JournalRewound: {what}, but the journal lacks it or has another there. It lost its latest events in a \
             restore or a failover. Either restore the journal that has it, or accept the loss: stop publishers and projectors, \
             delete the topic, empty the projections' schemas and start again; they are filled from the journal"
        );
        tracing::error!(%partition, reason, "partition stopped");
        self.metrics.rewound(partition, true);
        track.stage = Stage::Rewound {
            reason,
            again: Instant::now() + LOOK_AGAIN,
        };
        self.report_journal(None);
    }
}
