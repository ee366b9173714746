//! What a projection is, and the ones there are.

pub(crate) mod ledger;
pub(crate) mod read_model;

use std::future::Future;

use sqlx::PgConnection;
use wallex_domain::{EventData, Partition, PersonalData};
use wallex_journal::Event;

pub use ledger::Ledger;
pub use read_model::ReadModel;

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
    /// In consumer groups, health and metrics.
    const NAME: &'static str;
    /// Its schema in the read side's database, with tables `cursor` and `parked`.
    const SCHEMA: &'static str;
    /// Whether [`Projected::personal`] is to be filled in.
    const WANTS_PERSONAL_DATA: bool;

    /// Empties its tables of rows, of all partitions. What a partition's rows need to be filled in again stays.
    const EMPTY_ALL: &'static str;
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
fn partitions(events: &[Projected]) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = events.iter().map(|projected| projected.event.partition).collect();
    partitions.dedup();
    partitions
}
