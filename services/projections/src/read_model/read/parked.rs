//! What the projection could not apply, and therefore lacks.

use sqlx::PgConnection;
use uuid::Uuid;

pub const PARKED: &str = "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE wallet_id = $1)";

/// Whether an event of the transaction is, or may be, parked: rows of earlier releases do not say. Only read when a
/// transaction is not found, from a table that is nearly always empty.
const PARKED_TRANSACTION: &str =
    "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE transaction_id = $1 OR transaction_id IS NULL)";

const ANY_PARKED: &str = "SELECT EXISTS (SELECT 1 FROM read_model.parked)";

pub const STALE: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR ",
    being_filled!(),
    " FROM read_model.wallet WHERE wallet_id = $1"
);

/// Whether a wallet that has a row lacks events that the projection could not apply, or has not applied again yet.
pub async fn is_stale(db: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let stale: Option<bool> = sqlx::query_scalar(STALE).bind(id).fetch_optional(db).await?;
    Ok(stale.unwrap_or(false))
}

/// Whether an event of the wallet is parked.
pub async fn wallet(db: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(PARKED).bind(id).fetch_one(db).await
}

/// Whether an event of the transaction is, or may be, parked.
pub async fn transaction(db: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(PARKED_TRANSACTION)
        .bind(id)
        .fetch_one(db)
        .await
}

/// Whether anything is parked. Only the wallet and the transaction of a parked event are known.
pub async fn anything(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(ANY_PARKED).fetch_one(db).await
}
