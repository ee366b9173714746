//! The entries of one transaction.

use sqlx::PgConnection;
use uuid::Uuid;

use super::history::{EntryRow, entry_columns};

/// The caller orders the rows: a transaction has two entries at most.
pub const TRANSACTION: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id IN (entry.wallet_id, entry.counterparty)) \
         AS stale \
     FROM read_model.entry WHERE transaction_id = $1"
);

/// The movement of that name: both entries of its transaction carry it, or its only one does.
pub const BY_MOVEMENT: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id IN (entry.wallet_id, entry.counterparty)) \
         AS stale \
     FROM read_model.entry WHERE external_id = $1"
);

/// Empty if there is no such transaction; two entries for a movement between two wallets.
pub async fn by_id(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Vec<EntryRow>> {
    sqlx::query_as(TRANSACTION).bind(id).fetch_all(db).await
}

/// The same for the movement with this external id.
pub async fn by_external_id(db: &mut PgConnection, external_id: &str) -> sqlx::Result<Vec<EntryRow>> {
    sqlx::query_as(BY_MOVEMENT).bind(external_id).fetch_all(db).await
}
