//! Holds: a single one, and those of a wallet.

use sqlx::PgConnection;
use uuid::Uuid;

#[derive(sqlx::FromRow)]
pub struct HoldRow {
    pub hold_id: Uuid,
    pub wallet_id: Uuid,
    pub amount: i64,
    pub captured: i64,
    pub currency: String,
    pub status: String,
    pub expires_at: Option<i64>,
    pub reference: Option<String>,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub stale: bool,
}

macro_rules! hold_columns {
    () => {
        "hold_id, wallet_id, amount, captured, currency, status, expires_at, reference, version, created_at, updated_at, \
         EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = hold.wallet_id) AS stale"
    };
}

pub const HOLD: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM read_model.hold WHERE hold_id = $1"
);

pub const HOLDS: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM read_model.hold WHERE wallet_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3"
);

/// Rows are compared whole, as in histories.
pub const HOLDS_BY_STATUS: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM read_model.hold WHERE wallet_id = $1 AND (status, version) < ($4, $2) AND status >= $4 \
     ORDER BY status DESC, version DESC LIMIT $3"
);

pub async fn by_id(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<HoldRow>> {
    sqlx::query_as(HOLD).bind(id).fetch_optional(db).await
}

/// At most `limit` holds of the wallet that were placed below version `below` (exclusive), newest first.
pub async fn of_wallet(
    db: &mut PgConnection,
    wallet: Uuid,
    below: i64,
    status: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<HoldRow>> {
    let query = match status {
        None => sqlx::query_as(HOLDS).bind(wallet).bind(below).bind(limit),
        Some(status) => sqlx::query_as(HOLDS_BY_STATUS)
            .bind(wallet)
            .bind(below)
            .bind(limit)
            .bind(status),
    };
    query.fetch_all(db).await
}
