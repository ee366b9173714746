//! The projector's loop. It applies in steps what a source delivered; what cannot be applied stops its partition, not
//! the others.
//!
//! It checks for cursors that moved back or disappeared, on idle partitions too. The partition's rows are then made to
//! agree with the cursor, and the journal refills them without waiting for Kafka. Until then the projection is unready.
//!
//! The invariant: an offset is handed back to the source only after the cursor has passed what it stands for.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wallex_domain::{Ailment, Mark, Partition};
use wallex_journal::{check, read};
use wallex_projections::Projection;
use wallex_projections::cursor::Standing;
use wallex_runtime::backoff::{Backoff, Outage};
use wallex_runtime::health::Check;

use crate::applier::{Applier, Step, StepError};
use crate::dead_letters::DeadLetters;
use crate::inbox::{Arrived, Batch, TO_THE_END};
use crate::overdue::Behind;
use crate::source::Source;
use crate::stall::{Stall, Stalls};

/// Pause between two checks of the cursors in the database.
const LOOK: Duration = Duration::from_secs(1);
/// Events that one turn refills in a partition; between turns, new events of the other partitions are applied.
const REFILL: i64 = 5_000;
/// Pause between two checks of how far the topic is.
const SURVEY: Duration = Duration::from_secs(2);

pub(crate) struct Runner<P> {
    applier: Applier<P>,
    source: Source,
    dead_letters: DeadLetters,
    journal: PgPool,
    limit: usize,
    check: Check,
    /// The cursors of the assigned partitions after the last transaction.
    cursors: BTreeMap<Partition, Mark>,
    /// Partitions being refilled, and up to which seq.
    refilling: BTreeMap<Partition, i64>,
    stalls: Stalls,
    last_look: Instant,
    last_survey: Instant,
    behind: Behind,
    source_outage: Outage,
    database_outage: Outage,
}

impl<P: Projection> Runner<P> {
    pub(crate) fn new(
        applier: Applier<P>,
        source: Source,
        dead_letters: DeadLetters,
        journal: PgPool,
        limit: usize,
        check: Check,
    ) -> Self {
        Self {
            applier,
            source,
            dead_letters,
            journal,
            limit,
            check,
            cursors: BTreeMap::new(),
            refilling: BTreeMap::new(),
            stalls: Stalls::default(),
            last_look: Instant::now(),
            last_survey: Instant::now(),
            behind: Behind::default(),
            source_outage: Outage::of("The events source", P::NAME, "kafka_bootstrap_servers"),
            database_outage: Outage::of("The projection's database", P::NAME, "read_database_url"),
        }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let news = tokio::select! {
                () = shutdown.cancelled() => break,
                news = self.source.next(&self.cursors, self.limit, !self.refilling.is_empty()) => news,
            };
            self.applier.metrics().refused.inc_by(news.refused);
            let mut batch = news.batch;
            let followed = self.follow_assignment().await;
            let trouble = followed.err().map(|error| away(&error));
            self.survey(&mut batch).await;
            self.refill(&mut batch);
            self.try_stalled_again(&mut batch).await;
            let offsets: Vec<(Partition, i64)> = batch
                .0
                .iter()
                .filter_map(|(partition, arrived)| Some((*partition, arrived.offset?)))
                .collect();
            self.apply(&mut batch, &shutdown).await;
            let stalls = &self.stalls;
            self.source.applied(offsets.into_iter().filter(|(partition, _)| {
                !stalls.contains(*partition) && batch.0.get(partition).is_some_and(Arrived::is_done)
            }));
            match &news.trouble {
                Some(cause) => self.source_outage.failed(cause),
                None => self.source_outage.over(),
            }
            let source = news.trouble.map(|cause| (self.source.ailment(), cause));
            self.report(trouble.or(source));
        }
        self.source.leave().await;
        tracing::info!(projection = P::NAME, "projector stopped");
    }

    /// Learns the cursors of new partitions and forgets those of lost ones. Now and then it checks all of them: a cursor
    /// that is gone, or behind what this process knows, was deleted or moved back.
    async fn follow_assignment(&mut self) -> sqlx::Result<()> {
        let assigned = self.source.assigned();
        let lost: Vec<Partition> = self
            .cursors
            .keys()
            .filter(|partition| !assigned.contains(partition))
            .copied()
            .collect();
        for partition in lost {
            self.forget(partition);
            self.stalls.remove(partition);
            self.behind.forget(partition);
            self.applier.metrics().forget(partition);
        }
        let look_at_all = self.last_look.elapsed() >= LOOK;
        let wanted: Vec<Partition> = assigned
            .into_iter()
            .filter(|partition| look_at_all || !self.cursors.contains_key(partition))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.applier.standings(&wanted).await?;
        if look_at_all {
            self.last_look = Instant::now();
        }
        for partition in wanted {
            let known = self.cursors.get(&partition).copied();
            match found.get(&partition) {
                Some(at) if known.is_none_or(|known| known.seq <= at.cursor.seq) => {
                    self.stands(partition, *at);
                }
                Some(_) | None => drop(self.recover(partition).await?),
            }
        }
        Ok(())
    }

    fn stands(&mut self, partition: Partition, at: Standing) {
        self.cursors.insert(partition, at.cursor);
        self.applier.metrics().position(partition, at.cursor.seq);
        if at.is_refilling() {
            self.refilling.insert(partition, at.refill_to);
        } else {
            self.refilling.remove(&partition);
        }
    }

    fn forget(&mut self, partition: Partition) {
        self.cursors.remove(&partition);
        self.refilling.remove(&partition);
    }

    /// Makes rows and cursor of a partition agree again. Returns whether its rows had to be deleted.
    async fn recover(&mut self, partition: Partition) -> sqlx::Result<bool> {
        self.check
            .set_unready(format!("partition {partition} is about to be filled again"));
        let recovered = self.applier.recover(partition).await?;
        let at = recovered.standing;
        if at.is_refilling() && (recovered.emptied || self.cursors.contains_key(&partition)) {
            tracing::warn!(
                projection = P::NAME, %partition, from = at.cursor.seq, to = at.refill_to, emptied = recovered.emptied,
                "the cursor or rows of the partition were removed: filling it again from the journal"
            );
        }
        self.stands(partition, at);
        Ok(recovered.emptied)
    }

    /// Asks for the journal's own events for partitions that are being refilled. Kafka will not deliver them again; the
    /// journal as the source does so on its own.
    fn refill(&self, batch: &mut Batch) {
        if !self.source.may_miss_events() {
            return;
        }
        for (partition, refill_to) in &self.refilling {
            if let Some(cursor) = self.cursors.get(partition) {
                let to = (*refill_to).min(cursor.seq.saturating_add(REFILL));
                batch.partition(*partition).fill_to(to);
            }
        }
    }

    /// Finds partitions for which the topic will not deliver its events: offsets committed before the cursor was lost, or
    /// records that retention removed.
    async fn survey(&mut self, batch: &mut Batch) {
        if !self.source.may_miss_events() || self.last_survey.elapsed() < SURVEY {
            return;
        }
        self.last_survey = Instant::now();
        let marks = match check::published(&self.journal).await {
            Ok(marks) => marks,
            Err(error) => return tracing::debug!(%error, "the journal could not be surveyed"),
        };
        self.take_place().await;
        let missed = marks.into_iter().filter(|(id, _)| !batch.0.contains_key(id));
        let mut overdue = self.behind.overdue(missed, &self.cursors, self.last_survey);
        if overdue.is_empty() {
            return;
        }
        let asked = overdue.iter().map(|one| one.partition).collect();
        let with_more = self.source.with_more(asked).await;
        overdue.retain(|one| one.is_missing(with_more.contains(&one.partition)));
        for one in overdue {
            tracing::warn!(
                projection = P::NAME, partition = %one.partition, cursor = one.cursor, published = one.published,
                "the topic lacks events that were published: reading them from the journal"
            );
            batch.partition(one.partition).fill_to(one.published);
        }
    }

    /// Where the group has no offset in the topic, or is reading again what the cursor has passed, it moves to the topic's
    /// end, once everything up to there is applied. Otherwise anyone who measures lag by committed offsets would count the
    /// whole of an idle topic.
    async fn take_place(&mut self) {
        let ends = self.source.ends_to_skip_to().await;
        if ends.is_empty() {
            return;
        }
        // Read after the ends: no later event comes before them.
        let heads = match read::partitions(&self.journal).await {
            Ok(heads) => heads,
            Err(error) => return tracing::debug!(%error, "the journal could not be surveyed"),
        };
        let passed: BTreeMap<Partition, i64> = heads
            .iter()
            .filter(|head| {
                self.cursors
                    .get(&head.id)
                    .is_some_and(|cursor| cursor.seq >= head.mark.seq)
            })
            .filter_map(|head| Some((head.id, *ends.get(&head.id)?)))
            .collect();
        self.source.skip_to(passed).await;
    }

    /// Drops what arrived for stalled partitions; those that are due get another chance, from the journal.
    async fn try_stalled_again(&mut self, batch: &mut Batch) {
        batch.0.retain(|partition, _| !self.stalls.contains(*partition));
        for (partition, stall) in self.stalls.due() {
            let due = match (&stall, self.cursors.get(&partition)) {
                // Kafka has more than the journal. Once the journal goes on from where the projection stands, by what Kafka
                // had or by events of its own, it is the journal that counts. An error is as good as a no.
                (Stall::JournalRewound { ahead: true, .. }, Some(cursor)) => self
                    .applier
                    .journal_continues(partition, *cursor)
                    .await
                    .unwrap_or(false),
                (
                    Stall::JournalRewound { .. }
                    | Stall::HashChainBroken { .. }
                    | Stall::NeedsNewerVersion { .. }
                    | Stall::Refused { .. },
                    _,
                ) => true,
            };
            if due {
                batch.partition(partition).fill_to(TO_THE_END);
            }
        }
    }

    /// Applies the batch step by step, however long it takes.
    async fn apply(&mut self, batch: &mut Batch, shutdown: &CancellationToken) {
        let mut backoff = Backoff::for_server();
        while !batch.is_done() && !shutdown.is_cancelled() {
            match self.applier.step(batch).await {
                Ok(step) => {
                    self.database_outage.over();
                    backoff.reset();
                    self.record(step, batch);
                }
                Err(StepError::Refused(what)) => self.isolate(what, batch, shutdown).await,
                // The next check of the assignment creates them.
                Err(StepError::Gone(partitions)) => {
                    for partition in partitions {
                        batch.0.remove(&partition);
                        self.forget(partition);
                    }
                }
                Err(StepError::Database(error)) => {
                    self.database_outage.failed(&error.to_string());
                    let (ailment, reason) = away(&error);
                    self.check.set_ailing(ailment, reason);
                    if !backoff.wait(shutdown).await {
                        return;
                    }
                }
            }
            self.source.stay().await;
        }
    }

    /// One partition's events were refused: each partition is applied alone, and the culprit stops.
    async fn isolate(&mut self, what: String, batch: &mut Batch, shutdown: &CancellationToken) {
        let open = batch.open();
        if let [partition] = open[..] {
            // After the cursor was moved back, rows from later events are in the way; anything else needs a human.
            match self.recover(partition).await {
                Ok(true) => drop(batch.0.remove(&partition)),
                Ok(false) | Err(_) => self.stall(partition, Stall::Refused { partition, what }, batch),
            }
            return;
        }
        for partition in open {
            if let Some(arrived) = batch.0.remove(&partition) {
                let mut alone = Batch(BTreeMap::from([(partition, arrived)]));
                Box::pin(self.apply(&mut alone, shutdown)).await;
                batch.0.append(&mut alone.0);
            }
        }
    }

    fn record(&mut self, step: Step, batch: &mut Batch) {
        if self.source.may_miss_events() {
            self.applier.metrics().filled.inc_by(step.filled as u64);
        }
        for (partition, cursor) in step.cursors {
            if let Some(known) = self.cursors.get_mut(&partition) {
                *known = cursor;
                self.applier.metrics().position(partition, cursor.seq);
                if self.refilling.get(&partition).is_some_and(|to| cursor.seq >= *to) {
                    self.refilling.remove(&partition);
                    tracing::info!(projection = P::NAME, %partition, "the partition is filled again");
                }
            }
            if !step.stalled.contains_key(&partition) && self.stalls.remove(partition) {
                tracing::info!(projection = P::NAME, %partition, "the partition goes on");
            }
        }
        for parked in &step.parked {
            tracing::error!(
                projection = P::NAME, position = %parked.event.position(), reason = parked.reason, "parked an event"
            );
        }
        self.dead_letters.write(&step.parked);
        for (partition, stall) in step.stalled {
            self.stall(partition, stall, batch);
        }
    }

    fn stall(&mut self, partition: Partition, stall: Stall, batch: &mut Batch) {
        batch.0.remove(&partition);
        let (reason, text) = (stall.reason(), stall.to_string());
        if self.stalls.insert(partition, stall) {
            tracing::error!(projection = P::NAME, %partition, reason, "{text}");
        }
    }

    fn report(&mut self, trouble: Option<(Ailment, String)>) {
        let stalled: Vec<&Stall> = self.stalls.iter().collect();
        self.applier.metrics().stalled(&stalled);
        self.applier.metrics().refilling(self.refilling.len());
        let (ailment, trouble) = trouble.unzip();
        let ailment = ailment.or_else(|| stalled.iter().find_map(|stall| stall.ailment()));
        let stalls = stalled.iter().map(ToString::to_string);
        let refilling = self.refilling.iter().map(|(partition, to)| {
            let at = self.cursors.get(partition).map_or(0, |cursor| cursor.seq);
            format!("partition {partition} is being filled again from the journal: {at} of {to}")
        });
        let reasons: Vec<String> = trouble.into_iter().chain(stalls).chain(refilling).collect();
        if reasons.is_empty() {
            self.check.set_ready();
        } else {
            self.check.set_ailing(ailment, reasons.join("; "));
        }
    }
}

fn away(error: &sqlx::Error) -> (Ailment, String) {
    let reason = format!("the read side's database: {error}");
    (Ailment::DatabaseUnreachable, reason)
}
