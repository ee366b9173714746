//! What a projection is: the trait, its input, and the transaction that applies events.

use std::future::Future;

use sqlx::PgConnection;
use wallex_domain::{EventData, Partition, PersonalData};
use wallex_journal::Event;

use crate::registry::Name;

/// Opens a transaction that applies events. The settings are local to the transaction, so neither a role's defaults nor
/// a pooler change them.
/// - What a crash of PostgreSQL loses of a projection is lost together with its cursor and applied again, so nothing
///   waits for the disk. Nobody takes the last commit for durable: the cursor in the database decides where to go on,
///   not the offsets in Kafka, and what was told to readers meanwhile is in the journal.
/// - A statement planned while tables were small would keep reading them whole as they grow, by a sequential scan or by
///   a full index scan. The cost of planning each time is not measurable next to that of the rows.
/// - A transaction that waited for a lock sees what the lock's holder committed: cursors and erasure depend on it.
/// - A projector that freezes loses its locks.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; \
     SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; \
     SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// An event as passed to a projection.
#[derive(Debug, Clone)]
pub struct Projected {
    pub event: Event,
    pub data: EventData,
    /// `None` if the event carries none, or if it was erased.
    pub personal: Option<PersonalData>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The rows contradict the events: a defect; retrying does not help.
    #[error("{what}")]
    Inconsistent { what: String },
}

/// Tables derived from events. What `apply` writes depends only on the events and on rows of the same partitions, so
/// replicas that own different partitions never write the same row. The one exception is erasure, which reaches the
/// other side of a movement and is guarded by locks (see read_model::apply::erasure).
pub trait Projection: Send + Sync + 'static {
    const PROJECTION: Name;
    /// In consumer groups, health and metrics.
    const NAME: &'static str = Self::PROJECTION.as_str();
    /// Its schema in the read side's database, with tables `cursor` and `parked`.
    const SCHEMA: &'static str = Self::PROJECTION.schema().name;
    /// Whether [`Projected::personal`] must be filled in.
    const WANTS_PERSONAL_DATA: bool;

    /// Whether rows of partition `$1` come from events after seq `$2`: one row, one boolean.
    const BEYOND: &'static str;
    /// Each removes rows of partition `$1`; together they remove all of them.
    const EMPTY: &'static [&'static str];

    /// Writes what `events` mean: each partition's in seq order, following what was applied before. `parked` events are
    /// not applied, except that their erasures of personal data are carried out.
    fn apply(
        &self,
        db: &mut PgConnection,
        events: &[Projected],
        parked: &[Event],
    ) -> impl Future<Output = Result<(), ApplyError>> + Send;
}

/// The partitions of `events`, for messages.
pub(crate) fn partitions(events: &[Projected]) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = events.iter().map(|projected| projected.event.partition).collect();
    partitions.dedup();
    partitions
}
