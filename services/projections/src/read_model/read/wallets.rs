//! Wallets: one by its id, lists, and the state at a given time.

use sqlx::PgConnection;
use uuid::Uuid;

macro_rules! wallet_columns {
    () => {
        "wallet_id, partition, seq, version, external_id, currency, balance, held, overdraft_limit, status, owner, \
         description, metadata::text AS metadata, created_at, updated_at"
    };
}

pub const WALLET: &str = concat!(
    "SELECT ",
    wallet_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR ",
    being_filled!(),
    " AS stale, (SELECT cursor.seq FROM read_model.cursor WHERE cursor.partition = wallet.partition) AS read_at \
     FROM read_model.wallet WHERE wallet_id = $1"
);

pub const BY_EXTERNAL_ID: &str = concat!(
    "SELECT ",
    wallet_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = wallet.wallet_id) OR ",
    being_filled!(),
    " AS stale FROM read_model.wallet WHERE external_id = $1"
);

/// Rows are compared whole, so that only the index on both columns provides this order, whatever the statistics say.
pub const BY_OWNER: &str = concat!(
    "SELECT ",
    wallet_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = wallet.wallet_id) OR ",
    being_filled!(),
    " AS stale FROM read_model.wallet \
     WHERE owner IS NOT NULL AND (owner, wallet_id) >= ($1, $2) AND owner <= $1 \
     ORDER BY owner, wallet_id LIMIT $3"
);

/// The last entry at or before a time, and the overdraft limit in force then. Times grow with versions.
pub const STATE_AT: &str = "SELECT partition, seq, version, currency, balance_after AS balance, \
       held_after AS held, recorded_at, \
       coalesce((SELECT limits.overdraft_limit FROM read_model.entry limits \
                  WHERE limits.wallet_id = $1 AND (limits.type, limits.version) <= ('overdraft_limit', entry.version) \
                    AND limits.type >= 'overdraft_limit' \
                  ORDER BY limits.type DESC, limits.version DESC LIMIT 1), 0) AS overdraft_limit \
     FROM read_model.entry WHERE wallet_id = $1 AND recorded_at <= $2 \
     ORDER BY recorded_at DESC, version DESC LIMIT 1";

/// Whether a time has been reached for a wallet, by the clock that records events or by its newest event: after the
/// clock was ahead, a partition keeps its times until the right clock has caught up.
pub const HAS_COME: &str = "SELECT coalesce($2 <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint \
    OR $2 <= (SELECT recorded_at FROM read_model.entry WHERE wallet_id = $1 \
               ORDER BY recorded_at DESC, version DESC LIMIT 1), false)";

/// Which of the wallets have moved on. One statement for all streams.
pub const VERSIONS: &str = "SELECT wallet_id, version FROM read_model.wallet WHERE wallet_id = ANY ($1)";

#[derive(sqlx::FromRow)]
pub struct WalletRow {
    pub wallet_id: Uuid,
    pub partition: i32,
    pub seq: i64,
    pub version: i64,
    pub external_id: Option<String>,
    pub currency: String,
    pub balance: i64,
    pub held: i64,
    pub overdraft_limit: i64,
    pub status: String,
    pub owner: Option<String>,
    pub description: Option<String>,
    pub metadata: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    pub stale: bool,
    /// The cursor of the wallet's partition in the same snapshot. Set only by [`by_id`]; `None` also while the read model
    /// is being emptied.
    #[sqlx(default)]
    pub read_at: Option<i64>,
}

/// A wallet's money after one of its events.
#[derive(sqlx::FromRow)]
pub struct StateRow {
    pub partition: i32,
    pub seq: i64,
    pub version: i64,
    pub currency: String,
    pub balance: i64,
    pub held: i64,
    pub overdraft_limit: i64,
    pub recorded_at: i64,
}

pub async fn by_id(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<WalletRow>> {
    sqlx::query_as(WALLET).bind(id).fetch_optional(db).await
}

/// One row or none.
pub async fn by_external_id(db: &mut PgConnection, external_id: &str) -> sqlx::Result<Vec<WalletRow>> {
    sqlx::query_as(BY_EXTERNAL_ID)
        .bind(external_id)
        .fetch_all(db)
        .await
}

/// At most `limit` wallets of `owner`, starting at id `from` (inclusive).
pub async fn by_owner(
    db: &mut PgConnection,
    owner: &str,
    from: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<WalletRow>> {
    sqlx::query_as(BY_OWNER)
        .bind(owner)
        .bind(from)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// The wallet's state after its last event recorded at or before `at`; `None` before its creation.
pub async fn state_at(db: &mut PgConnection, id: Uuid, at: i64) -> sqlx::Result<Option<StateRow>> {
    sqlx::query_as(STATE_AT)
        .bind(id)
        .bind(at)
        .fetch_optional(db)
        .await
}

/// Whether this time, in microseconds since 1970, is not in the wallet's future.
pub async fn has_come(db: &mut PgConnection, id: Uuid, at: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar(HAS_COME).bind(id).bind(at).fetch_one(db).await
}

/// Versions of those of the wallets that exist.
pub async fn versions(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as(VERSIONS).bind(ids).fetch_all(db).await
}

/// The same with balances.
pub async fn balances(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as("SELECT wallet_id, balance FROM read_model.wallet WHERE wallet_id = ANY($1)")
        .bind(ids)
        .fetch_all(db)
        .await
}
