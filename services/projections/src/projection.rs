//! What a projection is.

use std::future::Future;

use sqlx::PgConnection;
use wallex_domain::{EventData, Partition, PersonalData};
use wallex_journal::Event;

use crate::registry::Name;

/// Opens a transaction that applies events. The settings are the transaction's own, so that neither a role's defaults nor a pooler change them.
/// - What is lost of a projection in a crash of PostgreSQL is lost together with its cursor and applied again, so
///   nobody has to wait for the disk.
/// - A statement that was planned when tables were small would keep reading them whole as they grow, by a sequential
///   scan or by all of an index. Planning each time costs less than can be measured beside the rows.
/// - Who waited for a lock sees what its holder committed: the cursors and erasure depend on it.
/// - A projector that freezes loses its locks.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; \
     SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off; \
     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; \
     SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// An event as a projection gets it.
#[derive(Debug, Clone)]
pub struct Projected {
    pub event: Event,
    pub data: EventData,
    /// `None` when the event carries none, or when it was erased.
    pub personal: Option<PersonalData>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// What the rows say contradicts the events: a defect, never a matter of trying again.
    #[error("{what}")]
    Inconsistent { what: String },
}

/// Tables derived from events. What `apply` writes depends on the events and on rows of the same
/// partitions only, so that replicas which own other partitions never write the same row. The one exception
/// is erasure, which reaches the other side of a movement, and guards it by locks (see read_model::erasure).
pub trait Projection: Send + Sync + 'static {
    const PROJECTION: Name;
    /// In consumer groups, health and metrics.
    const NAME: &'static str = Self::PROJECTION.as_str();
    /// Its schema in the read side's database, with tables `cursor` and `parked`.
    const SCHEMA: &'static str = Self::PROJECTION.schema().name;
    /// Whether [`Projected::personal`] is to be filled in.
    const WANTS_PERSONAL_DATA: bool;

    /// Whether there are rows of partition `$1` that come from events after seq `$2`: one row, one boolean.
    const BEYOND: &'static str;
    /// Each takes rows of partition `$1` away, together all of them.
    const EMPTY: &'static [&'static str];

    /// Writes what `events` mean: each partition's in seq order, following what was applied before. Of the events in
    /// `parked`, which are not applied, only what erases personal data is done.
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
