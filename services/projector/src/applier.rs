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
//! fails has changed nothing, neither in the database nor in the batch that matters.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use sqlx::{PgConnection, PgPool};
use wallex_domain::{DecodeError, EventData, Partition, WalletId};
use wallex_journal::{Event, read};

use crate::cursor::{Cursor, Cursors, Parked};
use crate::inbox::Batch;
use crate::metrics::Metrics;
use crate::projection::{ApplyError, Projected, Projection};
use crate::stall::Stall;

/// The settings are the transaction's own, so that neither a role's defaults nor a pooler change them.
/// - What is lost of a projection in a crash of PostgreSQL is lost together with its cursor and applied again, so
///   nobody has to wait for the disk.
/// - A statement that was prepared when tables were small would keep scanning them as they grow.
/// - A projector that freezes loses its locks.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; \
     SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = '30s'";

// As a subquery in the list of columns: it can only be answered by one look at the index per row.
const VERIFY: &str = "
SELECT partition, (SELECT hash FROM journal.event e WHERE e.partition = tip.partition AND e.seq = tip.seq)
  FROM unnest($1::int[], $2::bigint[]) AS tip (partition, seq)";

#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Database(sqlx::Error),
    /// The database refuses what was to be written (SQLSTATE class 22, 23), or it does not fit together.
    #[error("{0}")]
    Refused(String),
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        let class = match &error {
            sqlx::Error::Database(database) => database.code().map(|code| code[..2].to_owned()),
            _ => None,
        };
        match class.as_deref() {
            Some("22" | "23") => Self::Refused(error.to_string()),
            Some(_) | None => Self::Database(error),
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
    /// The cursors of the batch's partitions after it.
    pub(crate) cursors: BTreeMap<Partition, Cursor>,
    pub(crate) stalled: BTreeMap<Partition, Stall>,
    pub(crate) parked: Vec<Parked>,
}

pub(crate) struct Applier<P> {
    projection: P,
    cursors: Cursors,
    journal: PgPool,
    read: PgPool,
    limit: usize,
    metrics: Metrics,
    known: HashSet<Partition>,
}

/// What is to be applied in one step.
#[derive(Default)]
struct Chosen {
    /// By partition, and in it by seq.
    events: Vec<Event>,
    /// How many of them the journal gave.
    filled: usize,
    /// Partitions in which nothing more is to be asked of the journal.
    ended: Vec<Partition>,
}

/// What became of the chosen events.
#[derive(Default)]
struct Decoded {
    projected: Vec<Projected>,
    /// Where cursors move to.
    moved: BTreeMap<Partition, Cursor>,
}

impl<P: Projection> Applier<P> {
    pub(crate) fn new(projection: P, journal: PgPool, read: PgPool, limit: usize, metrics: Metrics) -> Self {
        Self {
            projection,
            cursors: Cursors::of(P::SCHEMA),
            journal,
            read,
            limit: limit.max(1),
            metrics,
            known: HashSet::new(),
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The cursors of `partitions`, created where they are missing.
    pub(crate) async fn cursors(
        &mut self,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Cursor>, sqlx::Error> {
        let mut db = self.read.acquire().await?;
        self.create_missing(&mut db, partitions).await?;
        self.cursors.read(&mut db, partitions).await
    }

    async fn create_missing(
        &mut self,
        db: &mut PgConnection,
        partitions: &[Partition],
    ) -> Result<(), sqlx::Error> {
        if partitions.iter().any(|partition| !self.known.contains(partition)) {
            self.cursors.create(db, partitions).await?;
            self.known.extend(partitions);
        }
        Ok(())
    }

    /// One transaction over the open partitions of `batch`, and what is done taken out of it.
    pub(crate) async fn step(&mut self, batch: &mut Batch) -> Result<Step, StepError> {
        let started = Instant::now();
        let open = batch.open();
        let mut db = self.read.begin_with(BEGIN).await?;
        self.create_missing(&mut db, &open).await?;
        let locked = self.cursors.lock(&mut db, &open).await?;
        if locked.cursors.len() < open.len() {
            // Somebody emptied the schema to have it filled anew.
            self.known.clear();
            return Err(StepError::Database(sqlx::Error::RowNotFound));
        }
        let mut step = Step {
            cursors: locked.cursors,
            ..Step::default()
        };
        for (partition, cursor) in &step.cursors {
            batch.partition(*partition).drop_through(*cursor);
        }
        self.verify(batch, &mut step).await?;

        let chosen = self.choose_all(batch, &mut step).await?;
        let parked_wallets = if locked.any_parked {
            let wallets = chosen.events.iter().map(|event| event.wallet_id.0).collect();
            self.cursors.parked_wallets(&mut db, wallets).await?
        } else {
            HashSet::new()
        };
        let Decoded { mut projected, moved } = decode_all(chosen.events, parked_wallets, &mut step);
        if !moved.is_empty() {
            self.add_personal_data(&mut projected).await?;
            if !projected.is_empty() {
                self.projection.apply(&mut db, &projected).await?;
            }
            if !step.parked.is_empty() {
                self.cursors.park(&mut db, &step.parked).await?;
            }
            self.cursors.update(&mut db, &moved).await?;
        }
        db.commit().await?;

        for partition in chosen.ended {
            batch.partition(partition).filled();
        }
        step.cursors.extend(moved);
        for (partition, cursor) in &step.cursors {
            batch.partition(*partition).drop_through(*cursor);
        }
        if !projected.is_empty() {
            self.metrics.batch_events.observe(projected.len() as f64);
            self.metrics
                .batch_seconds
                .observe(started.elapsed().as_secs_f64());
        }
        self.metrics.applied.inc_by(projected.len() as u64);
        self.metrics.filled.inc_by(chosen.filled as u64);
        self.metrics.parked.inc_by(step.parked.len() as u64);
        Ok(step)
    }

    /// Compares the last event of each run with the journal's of that seq. Through the hash chain that
    /// confirms the whole run. A run the journal does not have is taken out.
    async fn verify(&self, batch: &mut Batch, step: &mut Step) -> Result<(), sqlx::Error> {
        let mut tips: BTreeMap<Partition, (usize, Cursor)> = BTreeMap::new();
        for (partition, cursor) in &step.cursors {
            let arrived = batch.partition(*partition);
            let run = arrived.run(*cursor, self.limit);
            if let Some(last) = arrived.first(run).last() {
                tips.insert(*partition, (run, Cursor::at(last)));
            }
        }
        if tips.is_empty() {
            return Ok(());
        }
        let rows: Vec<(i32, Option<Vec<u8>>)> = sqlx::query_as(VERIFY)
            .bind(tips.keys().map(|partition| partition.0).collect::<Vec<_>>())
            .bind(tips.values().map(|(_, tip)| tip.seq).collect::<Vec<_>>())
            .fetch_all(&self.journal)
            .await?;
        for (partition, hash) in rows {
            let partition = Partition(partition);
            let Some((run, tip)) = tips.get(&partition) else {
                continue;
            };
            let Some(hash) = hash else {
                let what = format!(
                    "Kafka brought event {partition}:{}, the journal has none there",
                    tip.seq
                );
                let witness = Some(*tip);
                step.stalled.insert(
                    partition,
                    Stall::JournalRewound {
                        partition,
                        what,
                        witness,
                    },
                );
                continue;
            };
            if hash != tip.hash.0 {
                tracing::warn!(%partition, seq = tip.seq, "Kafka brought events that are not the journal's");
                self.metrics.refused.inc_by(*run as u64);
                batch.partition(partition).refuse(*run);
            }
        }
        Ok(())
    }

    async fn choose_all(&self, batch: &mut Batch, step: &mut Step) -> Result<Chosen, sqlx::Error> {
        let mut chosen = Chosen::default();
        let open = batch.open();
        let share = self.limit.div_ceil(open.len().max(1));
        for partition in open {
            if step.stalled.contains_key(&partition) {
                continue;
            }
            let (arrived, cursor) = (batch.partition(partition), step.cursors[&partition]);
            let run = arrived.run(cursor, self.limit);
            if run > 0 {
                chosen.events.extend(arrived.first(run).cloned());
                continue;
            }
            let Some(missing_to) = arrived.missing_to(cursor) else {
                continue;
            };
            let first_arrived = arrived.first(1).next().map(Cursor::at);
            match self
                .fill(partition, cursor, missing_to, share, first_arrived)
                .await?
            {
                Ok((events, end)) => {
                    chosen.filled += events.len();
                    chosen.events.extend(events);
                    if end {
                        chosen.ended.push(partition);
                    }
                }
                Err(stall) => {
                    step.stalled.insert(partition, stall);
                }
            }
        }
        Ok(chosen)
    }

    /// Up to `limit` events that the journal has after `cursor`, `missing_to` at most, and whether that was all.
    async fn fill(
        &self,
        partition: Partition,
        cursor: Cursor,
        missing_to: i64,
        limit: usize,
        first_arrived: Option<Cursor>,
    ) -> Result<Result<(Vec<Event>, bool), Stall>, sqlx::Error> {
        let rewound = |what: String, witness| {
            Ok(Err(Stall::JournalRewound {
                partition,
                what,
                witness,
            }))
        };
        let limit = i64::try_from(limit)
            .unwrap_or(i64::MAX)
            .min(missing_to - cursor.seq);
        // The cursor's own event is read along: the journal must still have it.
        let (after, along) = if cursor.seq > 0 {
            (cursor.seq - 1, 1)
        } else {
            (0, 0)
        };
        let mut events = read::events(&self.journal, partition, after, limit + along).await?;
        if along == 1 {
            if events.first().map(Cursor::at) != Some(cursor) {
                let what = format!("the projection stands at event {partition}:{}", cursor.seq);
                return rewound(what, None);
            }
            events.remove(0);
        }
        let mut at = cursor;
        for event in &events {
            if !at.precedes(event) {
                let what = format!("event {} does not follow the one at {}", event.position(), at.seq);
                return rewound(what, None);
            }
            at = Cursor::at(event);
        }
        let exhausted = (events.len() as i64) < limit;
        match first_arrived {
            Some(arrived) if exhausted => rewound(
                format!(
                    "Kafka brought event {partition}:{}, the journal ends at {}",
                    arrived.seq, at.seq
                ),
                Some(arrived),
            ),
            Some(_) | None => Ok(Ok((events, exhausted || at.seq >= missing_to))),
        }
    }

    /// Whether the journal has what Kafka brought.
    pub(crate) async fn journal_has(
        &self,
        partition: Partition,
        witness: Cursor,
    ) -> Result<bool, sqlx::Error> {
        let found = read::events(&self.journal, partition, witness.seq - 1, 1).await?;
        Ok(found.first().map(Cursor::at) == Some(witness))
    }

    async fn add_personal_data(&self, projected: &mut [Projected]) -> Result<(), sqlx::Error> {
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
        let mut data = read::personal(&self.journal, &ids).await?;
        for projected in projected {
            projected.personal = data.remove(&projected.event.event_id);
        }
        Ok(())
    }
}

/// Decodes the chosen events. One that this build does not know ends its partition's part, one that is
/// unusable is parked, and with it what follows of its wallet.
fn decode_all(events: Vec<Event>, mut parked_wallets: HashSet<WalletId>, step: &mut Step) -> Decoded {
    let mut decoded = Decoded::default();
    for event in events {
        let partition = event.partition;
        if step.stalled.contains_key(&partition) {
            continue;
        }
        let data = match decode(&event) {
            Ok(data) if !parked_wallets.contains(&event.wallet_id) => Ok(data),
            Ok(_) => Err("an earlier event of the wallet is parked".to_owned()),
            Err(Unusable::Corrupt(reason)) => Err(reason),
            Err(Unusable::Newer(what)) => {
                step.stalled
                    .insert(partition, Stall::NeedsNewerVersion { partition, what });
                continue;
            }
        };
        decoded.moved.insert(partition, Cursor::at(&event));
        match data {
            Ok(data) => decoded.projected.push(Projected {
                event,
                data,
                personal: None,
            }),
            Err(reason) => {
                parked_wallets.insert(event.wallet_id);
                step.parked.push(Parked { event, reason });
            }
        }
    }
    decoded
}

enum Unusable {
    Newer(String),
    Corrupt(String),
}

/// Reads an event that is the journal's own.
fn decode(event: &Event) -> Result<EventData, Unusable> {
    if !event.is_authentic() {
        return Err(Unusable::Corrupt("its hash does not fit its content".to_owned()));
    }
    event.decode().map_err(|error| match error {
        DecodeError::NeedsNewerVersion { .. } => {
            Unusable::Newer(format!("event {}: {error}", event.position()))
        }
        DecodeError::Corrupt { .. } => Unusable::Corrupt(error.to_string()),
    })
}
