//! Step 4: writes the batch, by the procedure `journal.append`. Every list is sorted by its key, so that batches which
//! meet on a unique key outside their partitions wait instead of deadlocking.
//!
//! The invariant: exactly as many rows are changed as intended, or nothing is committed.

mod rows;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, PgConnection};
use uuid::Uuid;
use wallex_domain::Partition;

use super::staging::Staging;
use super::state::{Head, LockedPartition};
use crate::Event;
use crate::maintain::Retention;
use rows::{
    Answers, ChangedHeads, ChangedHolds, CreatedHeads, DetailVersions, Erasures, Events, MovedPartitions,
    Movements, PersonalData, PlacedHolds, Remembered, Reversed, Rows,
};

static CALL: LazyLock<String> = LazyLock::new(|| {
    let last = &mut 8;
    let lists = [
        Remembered::arguments(last),
        Answers::arguments(last),
        CreatedHeads::arguments(last),
        ChangedHeads::arguments(last),
        PersonalData::arguments(last),
        Events::arguments(last),
        MovedPartitions::arguments(last),
        PlacedHolds::arguments(last),
        ChangedHolds::arguments(last),
        Reversed::arguments(last),
        DetailVersions::arguments(last),
        Erasures::arguments(last),
        Movements::arguments(last),
    ];
    let lists = lists.join(", ");
    format!(
        "CALL journal.append(slot => $1, batch_time => $2, leeway => $3, not_due_before => $4, \
         lock_timeout => $5, movement_names => $6, wallet_names => $7, hold_ids => $8, {lists}, \
         clock => NULL::bigint)"
    )
});

/// What the procedure has to do besides writing, if nothing is locked yet.
pub(super) struct InOneTrip<'a> {
    /// What the batch was decided on.
    pub(super) remembered: &'a BTreeMap<Partition, LockedPartition>,
    /// How far the batch's time may be from the database's clock.
    pub(super) leeway: Duration,
    pub(super) lock_timeout: Duration,
    /// What the batch takes to be free.
    pub(super) movement_names: Vec<&'a str>,
    pub(super) wallet_names: Vec<&'a str>,
    pub(super) placed_holds: Vec<Uuid>,
}

/// The call that writes a batch.
pub(super) struct Write(PgArguments);

impl Write {
    /// With `one_trip`, a transaction of its own; otherwise a part of the one that holds the locks.
    pub(super) fn new(
        staging: &Staging,
        retention: Retention,
        one_trip: Option<&InOneTrip<'_>>,
    ) -> Result<Self, sqlx::Error> {
        arguments(staging, retention, one_trip)
            .map(Self)
            .map_err(sqlx::Error::Encode)
    }

    /// Returns the database's clock in microseconds, if it was read.
    pub(super) async fn send(self, db: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar_with(CALL.as_str(), self.0).fetch_one(db).await
    }
}

/// In the order of [`CALL`].
fn arguments(
    staging: &Staging,
    retention: Retention,
    one_trip: Option<&InOneTrip<'_>>,
) -> Result<PgArguments, BoxDynError> {
    let answers: Vec<_> = staging.new_answers.iter().collect();
    let heads = staging.written_heads().into_values();
    let (created, changed): (Vec<&Head>, Vec<&Head>) = heads.partition(|head| head.loaded_version == 0);
    let mut personal: Vec<_> = staging.personal.iter().collect();
    personal.sort_unstable_by_key(|(event_id, ..)| *event_id);
    let mut events: Vec<_> = staging.events.iter().collect();
    events.sort_unstable_by_key(|event| (event.partition, event.seq));
    // The last event of a partition is its new head.
    let moved: BTreeMap<Partition, &Event> = events.iter().map(|event| (event.partition, *event)).collect();
    let moved: Vec<&Event> = moved.into_values().collect();
    let (placed, changed_holds) = staging.written_holds();
    let placed: Vec<_> = placed
        .into_iter()
        .map(|hold| (hold, staging.loaded.home(hold.wallet_id)))
        .collect();
    let new = staging.loaded.movements.iter().filter(|(_, named)| named.new);
    let mut movements: Vec<_> = new.collect();
    movements.sort_unstable_by_key(|(external_id, _)| *external_id);
    let remembered = one_trip.iter().flat_map(|one_trip| one_trip.remembered);
    let remembered: Vec<_> = remembered.collect();

    let time = staging.loaded.clock;
    let mut to = PgArguments::default();
    to.add(retention.slot(time))?;
    to.add(time)?;
    let leeway = one_trip.map(|one_trip| one_trip.leeway.as_micros());
    to.add(leeway.map(i64::try_from).transpose()?)?;
    let due = staging.loaded.not_due_before.values().min().copied();
    to.add(due.unwrap_or(i64::MAX))?;
    let lock_timeout = one_trip.map(|one_trip| one_trip.lock_timeout.as_millis());
    to.add(lock_timeout.map(i32::try_from).transpose()?)?;
    to.add(one_trip.map_or(&[][..], |one_trip| &one_trip.movement_names))?;
    to.add(one_trip.map_or(&[][..], |one_trip| &one_trip.wallet_names))?;
    to.add(one_trip.map_or(&[][..], |one_trip| &one_trip.placed_holds))?;
    Remembered::add(&remembered, &mut to)?;
    Answers::add(&answers, &mut to)?;
    CreatedHeads::add(&created, &mut to)?;
    ChangedHeads::add(&changed, &mut to)?;
    PersonalData::add(&personal, &mut to)?;
    Events::add(&events, &mut to)?;
    MovedPartitions::add(&moved, &mut to)?;
    PlacedHolds::add(&placed, &mut to)?;
    ChangedHolds::add(&changed_holds, &mut to)?;
    Reversed::add(&staging.written_reversed(), &mut to)?;
    DetailVersions::add(&staging.written_details(), &mut to)?;
    Erasures::add(&staging.erasures, &mut to)?;
    Movements::add(&movements, &mut to)?;
    Ok(to)
}
