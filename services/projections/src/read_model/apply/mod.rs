//! The read model: a row per wallet with its latest state, a row per event with the state after it, a row per hold.
//!
//! ```text
//! 1 erasure  take the locks that keep erasures and the other side's entries apart; empty the erased wallets' rows
//! 2 wallets  insert new rows, update existing ones; return what they held before
//! 3 entries  a row per event
//! 4 holds    those that are placed or changed, if any
//! 5 erasure  carry out the batch's erasures, after everything that came before them has been written
//! ```
//! The invariant: a wallet's row moves from version n to n + k only by k events that begin at n + 1. A row at any other
//! version stops the partition instead of being overwritten.

mod entries;
mod erasure;
mod holds;
mod wallets;

use sqlx::PgConnection;
use wallex_journal::Event;

pub(crate) use entries::{description, metadata};

use crate::projection::{ApplyError, Projected, Projection};
use crate::registry::Name;

pub struct ReadModel;

impl Projection for ReadModel {
    const PROJECTION: Name = Name::ReadModel;
    const WANTS_PERSONAL_DATA: bool = true;
    const BEYOND: &'static str = "
SELECT EXISTS (SELECT 1 FROM read_model.wallet WHERE partition = $1 AND seq > $2)
    OR EXISTS (SELECT 1 FROM read_model.entry WHERE partition = $1 AND seq > $2)
    OR EXISTS (SELECT 1 FROM read_model.parked WHERE partition = $1 AND seq > $2)
    OR EXISTS (SELECT 1 FROM read_model.hold
                WHERE NOT EXISTS (SELECT 1 FROM read_model.wallet WHERE wallet.wallet_id = hold.wallet_id))";
    // A hold without its wallet belongs to a partition that was emptied, or is about to be.
    const EMPTY: &'static [&'static str] = &[
        "DELETE FROM read_model.hold h USING read_model.wallet w
          WHERE w.wallet_id = h.wallet_id AND w.partition = $1",
        "DELETE FROM read_model.hold h
          WHERE NOT EXISTS (SELECT 1 FROM read_model.wallet w WHERE w.wallet_id = h.wallet_id)
            AND $1::int IS NOT NULL",
        "DELETE FROM read_model.wallet WHERE partition = $1",
        "DELETE FROM read_model.entry WHERE partition = $1",
        "DELETE FROM read_model.parked WHERE partition = $1",
    ];

    async fn apply(
        &self,
        db: &mut PgConnection,
        events: &[Projected],
        parked: &[Event],
    ) -> Result<(), ApplyError> {
        let erasures = erasure::of(events, parked);
        let erased = erasure::exclude(db, events, &erasures).await?;
        erasure::empty_wallets(db, &erasures).await?;
        if !events.is_empty() {
            let held_before = wallets::write(db, events).await?;
            entries::insert(db, events, held_before, &erased).await?;
            holds::write(db, events).await?;
        }
        // Whatever follows a parked erasure is parked, too, so nothing newer is lost.
        erasure::empty_wallets(db, &erasure::of(&[], parked)).await?;
        erasure::apply(db, &erasures).await?;
        Ok(())
    }
}
