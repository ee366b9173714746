//! The read model: a row per wallet with its last state, a row per event with the state after it, a row per hold.
//!
//! ```text
//! 1 erasure  take what an erasure and the other side's entries must exclude each other by
//! 2 wallets  new rows, and the rows that move on; what they held before
//! 3 entries  a row per event
//! 4 holds    placed and ended ones, when there are any
//! 5 erasure  what the batch's erasures take away, after everything that came before them has been written
//! ```
//! The invariant: a wallet's row moves from version n to n + k only by k events that begin at n + 1. A row
//! that is elsewhere stops the partition instead of being overwritten.

mod entries;
mod erasure;
mod holds;
mod wallets;

use sqlx::PgConnection;

pub(crate) use entries::{description, entry_type, metadata};
pub(crate) use wallets::owner;

use super::{ApplyError, Projected, Projection};

pub struct ReadModel;

impl Projection for ReadModel {
    const NAME: &'static str = "read-model";
    const SCHEMA: &'static str = "read_model";
    const WANTS_PERSONAL_DATA: bool = true;

    async fn apply(&self, db: &mut PgConnection, events: &[Projected]) -> Result<(), ApplyError> {
        let erasures = erasure::of(events);
        let erased = erasure::exclude(db, events, &erasures).await?;
        let held_before = wallets::write(db, events).await?;
        entries::insert(db, events, held_before, &erased).await?;
        holds::write(db, events).await?;
        erasure::apply(db, &erasures).await?;
        Ok(())
    }
}
