//! The SQL of wallets: one by its id, lists, and the state at a time.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::ReadError;

macro_rules! wallet_columns {
    () => {
        "wallet_id, partition, seq, version, external_id, currency, balance, held, overdraft_limit, status, owner, \
         description, metadata::text AS metadata, created_at, updated_at"
    };
}

pub(crate) const WALLET: &str = concat!(
    "SELECT ",
    wallet_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR ",
    being_filled!(),
    " AS stale FROM read_model.wallet WHERE wallet_id = $1"
);

pub(crate) const BY_EXTERNAL_ID: &str = concat!(
    "SELECT ",
    wallet_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = wallet.wallet_id) OR ",
    being_filled!(),
    " AS stale FROM read_model.wallet WHERE external_id = $1"
);

/// The rows compare whole, so that only the index on both columns gives this order, whatever the statistics say.
pub(crate) const BY_OWNER: &str = concat!(
    "SELECT ",
    wallet_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = wallet.wallet_id) OR ",
    being_filled!(),
    " AS stale FROM read_model.wallet \
     WHERE owner IS NOT NULL AND (owner, wallet_id) >= ($1, $2) AND owner <= $1 \
     ORDER BY owner, wallet_id LIMIT $3"
);

/// The last entry at a time or before, and the overdraft limit that was in force. Times grow with versions.
pub(crate) const STATE_AT: &str = "SELECT partition, seq, version, currency, balance_after AS balance, \
       held_after AS held, recorded_at, \
       coalesce((SELECT limits.overdraft_limit FROM read_model.entry limits \
                  WHERE limits.wallet_id = $1 AND (limits.type, limits.version) <= ('overdraft_limit', entry.version) \
                    AND limits.type >= 'overdraft_limit' \
                  ORDER BY limits.type DESC, limits.version DESC LIMIT 1), 0) AS overdraft_limit \
     FROM read_model.entry WHERE wallet_id = $1 AND recorded_at <= $2 \
     ORDER BY recorded_at DESC, version DESC LIMIT 1";

/// Whether a time has come for a wallet, by the clock that events are recorded by, or by its newest events: a partition
/// keeps the times of a clock that was ahead until the right one has reached them.
pub(crate) const HAS_COME: &str = "SELECT coalesce($2 <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    OR $2 <= (SELECT recorded_at FROM read_model.entry WHERE wallet_id = $1 \
               ORDER BY recorded_at DESC, version DESC LIMIT 1), false)";

#[derive(sqlx::FromRow)]
pub(crate) struct WalletRow {
    pub(crate) wallet_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) version: i64,
    pub(crate) external_id: Option<String>,
    pub(crate) currency: String,
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) overdraft_limit: i64,
    pub(crate) status: String,
    pub(crate) owner: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) stale: bool,
}

/// A wallet's money after one of its events.
#[derive(sqlx::FromRow)]
pub(crate) struct StateRow {
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) version: i64,
    pub(crate) currency: String,
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) overdraft_limit: i64,
    pub(crate) recorded_at: i64,
}

pub(crate) async fn wallet(db: &mut PgConnection, id: Uuid) -> Result<Option<WalletRow>, ReadError> {
    Ok(sqlx::query_as(WALLET).bind(id).fetch_optional(db).await?)
}

pub(crate) async fn external_id(
    db: &mut PgConnection,
    external_id: &str,
) -> Result<Vec<WalletRow>, ReadError> {
    Ok(sqlx::query_as(BY_EXTERNAL_ID)
        .bind(external_id)
        .fetch_all(db)
        .await?)
}

/// At most `limit` wallets of `owner` from id `from` (inclusive) on.
pub(crate) async fn owner(
    db: &mut PgConnection,
    owner: &str,
    from: Uuid,
    limit: i64,
) -> Result<Vec<WalletRow>, ReadError> {
    Ok(sqlx::query_as(BY_OWNER)
        .bind(owner)
        .bind(from)
        .bind(limit)
        .fetch_all(db)
        .await?)
}

/// The wallet's state after its last event recorded at `at` or before; `None` before its creation.
pub(crate) async fn state_at(
    db: &mut PgConnection,
    id: Uuid,
    at: i64,
) -> Result<Option<StateRow>, ReadError> {
    Ok(sqlx::query_as(STATE_AT)
        .bind(id)
        .bind(at)
        .fetch_optional(db)
        .await?)
}

/// Whether this time, in microseconds since 1970, is not in the wallet's future.
pub(crate) async fn has_come(db: &mut PgConnection, id: Uuid, at: i64) -> Result<bool, ReadError> {
    let come = sqlx::query_scalar(HAS_COME).bind(id).bind(at);
    Ok(come.fetch_one(db).await?)
}
