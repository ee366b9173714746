//! One step of a projection: one transaction that moves the cursors of a batch.
//!
//! ```text
//! 1 lock    BEGIN; the cursors of the batch's partitions, ascending; drop what they have passed
//! 2 choose  per partition: the run of events that continues the cursor, or, when there is none, what the
//!           journal has there
//! 3 verify  the last event of each run against the journal
//! 4 decode  what this build does not know ends the run; what is unusable is parked
//! 5 apply   the projection's rows, the parked rows, the cursors; COMMIT
//! ```
//! The invariant: what is applied continues the cursor by seq and hash and is in the journal. A step that
//! fails has changed nothing that matters, neither in the database nor in the batch.

mod choose;
mod decode;
mod recover;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use sqlx::{PgConnection, PgPool};
use wallex_domain::{Mark, Partition};
use wallex_journal::read;
use wallex_postgres::SqlState;
use wallex_projections::cursor::{Cursors, Parked, Standing};
use wallex_projections::projection::BEGIN;
use wallex_projections::{ApplyError, Projected, Projection};
use wallex_runtime::trace::{self, SpanKind};

use crate::announce::Announcer;
use crate::inbox::Batch;
use crate::metrics::Metrics;
use crate::stall::Stall;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Database(sqlx::Error),
    /// The database refuses the rows (SQLSTATE class 22 or 23), or they contradict each other.
    #[error("{0}")]
    Refused(String),
    /// Somebody deleted cursors.
    #[error("the cursors of partitions {0:?} are gone")]
    Gone(BTreeSet<Partition>),
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        let refused = SqlState::of(&error).is_some_and(|code| matches!(code.class(), "22" | "23"));
        if refused {
            Self::Refused(error.to_string())
        } else {
            Self::Database(error)
        }
    }
}

impl From<ApplyError> for StepError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Database(error) => error.into(),
            ApplyError::Inconsistent { what } => Self::Refused(what),
        }
    }
}

/// What one step did.
#[derive(Default)]
pub(crate) struct Step {
    /// The cursors of the batch's partitions after the step.
    pub(crate) cursors: BTreeMap<Partition, Mark>,
    pub(crate) stalled: BTreeMap<Partition, Stall>,
    pub(crate) parked: Vec<Parked>,
    /// Events that came from the journal, not from a message.
    pub(crate) filled: usize,
}

pub(crate) struct Applier<P> {
    projection: P,
    announcer: Announcer,
    cursors: Cursors,
    journal: PgPool,
    read: PgPool,
    limit: usize,
    metrics: Metrics,
}

impl<P: Projection> Applier<P> {
    /// `announcer` announces the wallets that each step has written.
    pub(crate) fn new(
        projection: P,
        announcer: Announcer,
        journal: PgPool,
        read: PgPool,
        limit: usize,
    ) -> Self {
        Self {
            projection,
            announcer,
            cursors: Cursors::of(P::SCHEMA),
            journal,
            read,
            limit,
            metrics: Metrics::new(P::NAME),
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The cursors of `partitions`; a partition without a cursor is left out.
    pub(crate) async fn standings(
        &self,
        partitions: &[Partition],
    ) -> sqlx::Result<BTreeMap<Partition, Standing>> {
        let mut db = self.read.acquire().await?;
        self.cursors.read(&mut db, partitions).await
    }

    /// One transaction over the open partitions of `batch`; what is done is removed from the batch.
    pub(crate) async fn step(&mut self, batch: &mut Batch) -> Result<Step, StepError> {
        let started = Instant::now();
        let open = batch.open();
        let mut db = wallex_postgres::begin(&self.read, BEGIN).await?;
        let locked = self.cursors.lock(&mut db, &open).await?;
        if locked.cursors.len() < open.len() {
            let gone = open
                .into_iter()
                .filter(|partition| !locked.cursors.contains_key(partition));
            return Err(StepError::Gone(gone.collect()));
        }
        let mut step = Step {
            cursors: locked.cursors,
            ..Step::default()
        };
        for (partition, cursor) in &step.cursors {
            batch.partition(*partition).drop_through(*cursor);
        }
        let mut journal = wallex_postgres::begin(&self.journal, read::BEGIN).await?;
        self.verify(&mut journal, batch, &mut step).await?;
        let chosen = self.choose_all(&mut journal, batch, &mut step).await?;
        let parked_wallets = if locked.any_parked {
            let wallets = chosen.events.iter().map(|event| event.wallet_id.0).collect();
            self.cursors.parked_wallets(&mut db, wallets).await?
        } else {
            HashSet::new()
        };
        let decode::Decoded { mut projected, moved } =
            decode::decode_all(chosen.events, parked_wallets, &mut step);
        self.add_personal_data(&mut journal, &mut projected).await?;
        journal.commit().await?;
        if !moved.is_empty() {
            let mut parked = Vec::new();
            if !step.parked.is_empty() {
                self.cursors.park(&mut db, &step.parked).await?;
                parked.extend(step.parked.iter().map(|parked| parked.event.clone()));
            }
            self.projection.apply(&mut db, &projected, &parked).await?;
            self.cursors.update(&mut db, &moved).await?;
        }
        db.commit().await?;

        for partition in chosen.ended {
            batch.partition(partition).filled();
        }
        step.filled = chosen.filled;
        step.cursors.extend(moved);
        for (partition, cursor) in &step.cursors {
            batch.partition(*partition).drop_through(*cursor);
        }
        if !projected.is_empty() {
            self.announcer
                .wrote(projected.iter().map(|projected| projected.event.wallet_id.0));
            self.metrics.batch_events.observe(projected.len() as f64);
            self.metrics
                .batch_seconds
                .observe(started.elapsed().as_secs_f64());
        }
        if trace::is_on() {
            record_spans(P::NAME, &projected, started);
        }
        self.metrics.applied.inc_by(projected.len() as u64);
        self.metrics.parked(&step.parked);
        Ok(step)
    }

    async fn add_personal_data(
        &self,
        journal: &mut PgConnection,
        projected: &mut [Projected],
    ) -> sqlx::Result<()> {
        if !P::WANTS_PERSONAL_DATA {
            return Ok(());
        }
        let ids: Vec<_> = projected
            .iter()
            .filter(|projected| projected.data.personal().is_some())
            .map(|projected| projected.event.event_id)
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut data = read::personal(journal, &ids).await?;
        for projected in projected {
            projected.personal = data.remove(&projected.event.event_id);
        }
        Ok(())
    }
}

/// Records a span for each sampled event of a committed step.
fn record_spans(projection: &str, projected: &[Projected], started: Instant) {
    for Projected { event, .. } in projected {
        let name = || format!("{projection} apply").into();
        if let Some(mut span) = trace::below(event.traceparent.as_deref(), name, SpanKind::Consumer, started)
        {
            span.set("wallex.position", event.position().to_string()).set(
                "wallex.batch.events",
                i64::try_from(projected.len()).unwrap_or(i64::MAX),
            );
        }
    }
}
