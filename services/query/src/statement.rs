//! The SQL of the reads, and its rows. The invariant: every statement finds its rows through one index
//! and reads no more of them than it answers with; the module `plans` holds it to that.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::ReadError;

/// Opens one snapshot. The settings are the transaction's own, so that neither a role's defaults nor a
/// pooler change them. With the three plan settings a statement that was prepared when the tables were
/// small keeps its index as they grow; without them it may scan until the next ANALYZE.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '5s'; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
     SET LOCAL jit = off";

pub(crate) const WALLET: &str = "SELECT wallet_id, partition, seq, version, external_id, currency, balance, held, \
       overdraft_limit, status, owner, description, metadata::text AS metadata, created_at, updated_at, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) AS stale \
     FROM read_model.wallet WHERE wallet_id = $1";

pub(crate) const PARKED: &str = "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE wallet_id = $1)";

/// Newest first, below a version, one more than the page to see whether there is a next.
pub(crate) const HISTORY: &str = "SELECT wallet_id, version, partition, seq, event_id, transaction_id, type AS kind, amount, \
       currency, balance_after, counterparty, reference, description, metadata::text AS metadata, recorded_at, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) AS stale \
     FROM read_model.entry WHERE wallet_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";

/// Ordered by the caller: a transaction has two entries at most.
pub(crate) const TRANSACTION: &str = "SELECT wallet_id, version, partition, seq, event_id, transaction_id, type AS kind, amount, \
       currency, balance_after, counterparty, reference, description, metadata::text AS metadata, recorded_at, \
       EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id IN (entry.wallet_id, entry.counterparty)) \
         AS stale \
     FROM read_model.entry WHERE transaction_id = $1";

/// One row per partition, 256 at most: read whole.
pub(crate) const CURSORS: &str = "SELECT partition, seq FROM read_model.cursor";

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

#[derive(sqlx::FromRow)]
pub(crate) struct EntryRow {
    pub(crate) wallet_id: Uuid,
    pub(crate) version: i64,
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) event_id: Uuid,
    pub(crate) transaction_id: Uuid,
    pub(crate) kind: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) balance_after: i64,
    pub(crate) counterparty: Option<Uuid>,
    pub(crate) reference: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) recorded_at: i64,
    pub(crate) stale: bool,
}

pub(crate) async fn wallet(db: &mut PgConnection, id: Uuid) -> Result<Option<WalletRow>, ReadError> {
    Ok(sqlx::query_as(WALLET).bind(id).fetch_optional(db).await?)
}

/// Whether an event of the wallet could not be projected.
pub(crate) async fn parked(db: &mut PgConnection, id: Uuid) -> Result<bool, ReadError> {
    Ok(sqlx::query_scalar(PARKED).bind(id).fetch_one(db).await?)
}

/// At most `limit` entries of the wallet below version `below` (exclusive), newest first.
pub(crate) async fn history(
    db: &mut PgConnection,
    id: Uuid,
    below: i64,
    limit: i64,
) -> Result<Vec<EntryRow>, ReadError> {
    Ok(sqlx::query_as(HISTORY)
        .bind(id)
        .bind(below)
        .bind(limit)
        .fetch_all(db)
        .await?)
}

pub(crate) async fn transaction(db: &mut PgConnection, id: Uuid) -> Result<Vec<EntryRow>, ReadError> {
    Ok(sqlx::query_as(TRANSACTION).bind(id).fetch_all(db).await?)
}

/// Up to which seq (inclusive) each partition has been projected.
pub(crate) async fn cursors<'e>(
    db: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
) -> Result<Vec<(i32, i64)>, sqlx::Error> {
    sqlx::query_as(CURSORS).fetch_all(db).await
}
