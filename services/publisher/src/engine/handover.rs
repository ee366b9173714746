//! Takes, keeps and gives up partitions, and saves their progress.
//!
//! The invariant: a partition that belongs to another replica, as the database has it, is dropped before anything
//! else is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wallex_domain::{Mark, Partition};

use super::{Engine, LEAVE, SAVE_EVENTS, SAVE_INTERVAL, SLOW, STUCK, Stage, TICK, Track};
use crate::progress::Progress;

impl Engine {
    /// Renews, takes and gives up partitions; watches for stalls.
    pub(super) async fn tick(&mut self) {
        let now = Instant::now();
        self.next_tick = now + TICK.min(self.config.lease / 3);
        match self.balance().await {
            Ok(()) => self.report_journal(None),
            Err(error) => self.report_journal(Some(&error)),
        }
        self.watch_acknowledgements(now);
        for track in self.tracks.values_mut() {
            // Wait for what is in flight: its acknowledgements would be taken for those of what is sent next.
            if matches!(&track.stage, Stage::Rewound { again, .. } if *again <= now)
                && track.progress.in_flight() == 0
            {
                track.stage = Stage::Looking;
            }
        }
        if !self.usable && now.saturating_duration_since(self.unusable_since) > self.config.lease {
            // Other replicas may reach Kafka where this one does not.
            self.leave_all(now);
        }
        self.start_look().await;
    }

    /// A broker that does not answer is first reported; then the producer is given up, with all it was sending.
    fn watch_acknowledgements(&mut self, now: Instant) {
        let waiting = |track: &Track| match track.progress.in_flight() {
            0 => Duration::ZERO,
            _ => now.saturating_duration_since(track.moved),
        };
        let longest = self.tracks.values().map(waiting).max().unwrap_or_default();
        if longest > STUCK {
            self.restart(&format!("no acknowledgement for {} s", STUCK.as_secs()));
        } else if longest > SLOW {
            let cause = "Kafka (WALLEX_KAFKA_BOOTSTRAP_SERVERS) acknowledges nothing";
            self.topic_outage.failed(cause);
        } else if self.usable {
            self.topic_outage.over();
            self.topic_check.set_ready();
        }
    }

    async fn balance(&mut self) -> sqlx::Result<()> {
        let mine = self.mine(|_| true);
        let kept = self.leases.renew(&mine).await?;
        for partition in mine.keys().filter(|partition| !kept.contains(partition)) {
            self.lose(*partition);
        }
        if !self.usable {
            return Ok(());
        }
        let mut replicas = self.leases.beat().await?;
        let dead = self.presence.dead(&replicas.alive).await;
        for replica in &dead {
            replicas.alive.remove(replica);
        }
        let share = replicas.share();
        let staying = self.mine(|track| !matches!(track.stage, Stage::Leaving { .. }));
        let until = Instant::now() + LEAVE;
        for partition in staying.keys().skip(share) {
            if let Some(track) = self.tracks.get_mut(partition) {
                tracing::info!(%partition, share, "handing a partition over to another publisher");
                track.stage = Stage::Leaving { until };
            }
        }
        if staying.len() < share {
            let mine = self.mine(|_| true);
            for taken in self.leases.take(&mine, &dead, share - staying.len()).await? {
                tracing::info!(
                    partition = %taken.partition, epoch = taken.epoch, checkpoint = taken.checkpoint.seq,
                    "took a partition"
                );
                self.tracks.insert(
                    taken.partition,
                    Track {
                        epoch: taken.epoch,
                        stage: Stage::Looking,
                        progress: Progress::at(taken.checkpoint),
                        moved: Instant::now(),
                    },
                );
            }
        }
        self.metrics.owned.set(self.tracks.len() as i64);
        Ok(())
    }

    pub(super) fn mine(&self, which: impl Fn(&Track) -> bool) -> BTreeMap<Partition, i64> {
        self.tracks
            .iter()
            .filter(|(_, track)| which(track))
            .map(|(partition, track)| (*partition, track.epoch))
            .collect()
    }

    /// Another replica owns the partition: nothing more is sent, and what is in flight no longer matters.
    pub(super) fn lose(&mut self, partition: Partition) {
        if let Some(track) = self.tracks.remove(&partition) {
            tracing::warn!(%partition, epoch = track.epoch, "lost a partition to another publisher");
            self.metrics.forget(partition);
            self.metrics.owned.set(self.tracks.len() as i64);
        }
    }

    pub(super) fn leave_all(&mut self, now: Instant) {
        for track in self.tracks.values_mut() {
            if !matches!(track.stage, Stage::Leaving { .. }) {
                track.stage = Stage::Leaving { until: now + LEAVE };
            }
        }
    }

    /// Releases the partitions whose handover is finished.
    pub(super) async fn release_finished(&mut self, now: Instant) {
        let finished = self.mine(|track| {
            matches!(track.stage, Stage::Leaving { until } if until <= now || track.progress.in_flight() == 0)
        });
        if finished.is_empty() {
            return;
        }
        self.save().await;
        match self.leases.release(&finished).await {
            Ok(()) => {
                for partition in finished.keys() {
                    self.tracks.remove(partition);
                    self.metrics.forget(*partition);
                }
                self.metrics.owned.set(self.tracks.len() as i64);
            }
            // Will be retried; at the latest the lease runs out.
            Err(error) => self.report_journal(Some(&error)),
        }
    }

    pub(super) fn save_is_due(&self) -> bool {
        let unsaved: i64 = self
            .tracks
            .values()
            .filter(|track| track.progress.unsaved().is_some())
            .map(|track| track.progress.unsaved_events().max(1))
            .sum();
        unsaved >= SAVE_EVENTS || (unsaved > 0 && self.last_save.elapsed() >= SAVE_INTERVAL)
    }

    pub(super) async fn save(&mut self) {
        self.last_save = Instant::now();
        let marks: Vec<(Partition, i64, Mark)> = self
            .tracks
            .iter()
            .filter_map(|(partition, track)| {
                track
                    .progress
                    .unsaved()
                    .map(|mark| (*partition, track.epoch, mark))
            })
            .collect();
        if marks.is_empty() {
            return;
        }
        match self.leases.save(&marks).await {
            Ok(saved) => {
                for (partition, _, mark) in marks {
                    if !saved.contains(&partition) {
                        self.lose(partition);
                    } else if let Some(track) = self.tracks.get_mut(&partition) {
                        track.progress.record_saved(mark);
                    }
                }
            }
            Err(error) => self.report_journal(Some(&error)),
        }
    }

    /// Waits for what is in flight, saves, and releases everything to the other replicas.
    pub(super) async fn stop(&mut self) {
        let until = Instant::now() + LEAVE;
        self.leave_all(Instant::now());
        while self.tracks.values().any(|track| track.progress.in_flight() > 0) {
            match tokio::time::timeout_at(until, self.deliveries.recv()).await {
                Ok(Some(delivery)) => self.record_deliveries(delivery),
                Ok(None) | Err(_) => break,
            }
        }
        self.release_finished(until).await;
        if let Err(error) = self.leases.leave().await {
            tracing::warn!(%error, "could not release the leases: other publishers wait until they expire");
        }
        if let Some(producer) = self.producer.take() {
            let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
        }
        tracing::info!("publisher stopped");
    }
}
