//! The SQL of the reads, and its rows. The invariant: every statement finds its rows through one index
//! and reads no more of them than it answers with; the module `plans` holds it to that.

/// Whether the partition of a row of `read_model.wallet` is being filled anew: the wallet is as it was once.
macro_rules! being_filled {
    () => {
        "EXISTS (SELECT 1 FROM read_model.cursor \
                  WHERE cursor.partition = wallet.partition AND cursor.seq < cursor.refill_to)"
    };
}

mod history;
mod wallet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::ReadError;
#[cfg(test)]
pub(crate) use history::{
    BY_COUNTERPARTY, BY_REFERENCE, BY_TYPE, BY_VERSIONS, FORWARD, HISTORY, SPAN, VERSION,
};
pub(crate) use history::{Entries, Span, oldest, span, still_has};
#[cfg(test)]
pub(crate) use wallet::{BY_EXTERNAL_ID, BY_OWNER, HAS_COME, STATE_AT, WALLET};
pub(crate) use wallet::{StateRow, WalletRow, external_id, has_come, owner, state_at, wallet};

pub(crate) const PARKED: &str = "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE wallet_id = $1)";

/// Whether an event of the transaction is parked, or may be: rows of earlier releases do not say. Read only when a
/// transaction is not found, of a table that is nearly always empty.
pub(crate) const PARKED_TRANSACTION: &str =
    "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE transaction_id = $1 OR transaction_id IS NULL)";

pub(crate) const ANY_PARKED: &str = "SELECT EXISTS (SELECT 1 FROM read_model.parked)";

pub(crate) const STALE: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = $1) OR ",
    being_filled!(),
    " FROM read_model.wallet WHERE wallet_id = $1"
);

/// The columns of an [`EntryRow`], for statements that read `read_model.entry`.
macro_rules! entry_columns {
    () => {
        "wallet_id, version, partition, seq, event_id, transaction_id, type AS kind, amount, currency, balance_after, \
         held_change, held_after, overdraft_limit, counterparty, hold_id, reverses, reference, \
         external_id, description, \
         metadata::text AS metadata, recorded_at"
    };
}
pub(crate) use entry_columns;

/// Ordered by the caller: a transaction has two entries at most.
pub(crate) const TRANSACTION: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id IN (entry.wallet_id, entry.counterparty)) \
         AS stale \
     FROM read_model.entry WHERE transaction_id = $1"
);

/// The movement of that name: a transaction's two entries carry it, or its only one.
pub(crate) const BY_MOVEMENT: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id IN (entry.wallet_id, entry.counterparty)) \
         AS stale \
     FROM read_model.entry WHERE external_id = $1"
);

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
    pub(crate) held_change: i64,
    pub(crate) held_after: i64,
    pub(crate) overdraft_limit: Option<i64>,
    pub(crate) counterparty: Option<Uuid>,
    pub(crate) hold_id: Option<Uuid>,
    pub(crate) reverses: Option<Uuid>,
    pub(crate) reference: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) recorded_at: i64,
    /// Only where the statement asks: an event of one of the entry's wallets is parked.
    #[sqlx(default)]
    pub(crate) stale: bool,
}

#[derive(sqlx::FromRow)]
pub(crate) struct HoldRow {
    pub(crate) hold_id: Uuid,
    pub(crate) wallet_id: Uuid,
    pub(crate) amount: i64,
    pub(crate) captured: i64,
    pub(crate) currency: String,
    pub(crate) status: String,
    pub(crate) expires_at: Option<i64>,
    pub(crate) reference: Option<String>,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) stale: bool,
}

macro_rules! hold_columns {
    () => {
        "hold_id, wallet_id, amount, captured, currency, status, expires_at, reference, version, created_at, updated_at, \
         EXISTS (SELECT 1 FROM read_model.parked WHERE parked.wallet_id = hold.wallet_id) AS stale"
    };
}

pub(crate) const HOLD: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM read_model.hold WHERE hold_id = $1"
);

pub(crate) const HOLDS: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM read_model.hold WHERE wallet_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3"
);

/// The rows compare whole, as in histories.
pub(crate) const HOLDS_BY_STATUS: &str = concat!(
    "SELECT ",
    hold_columns!(),
    " FROM read_model.hold WHERE wallet_id = $1 AND (status, version) < ($4, $2) AND status >= $4 \
     ORDER BY status DESC, version DESC LIMIT $3"
);

/// Whether a wallet that has a row lacks events that its projection could not apply, or has not applied again yet.
pub(crate) async fn stale(db: &mut PgConnection, id: Uuid) -> Result<bool, ReadError> {
    let stale: Option<bool> = sqlx::query_scalar(STALE).bind(id).fetch_optional(db).await?;
    Ok(stale.unwrap_or(false))
}

/// Whether an event of the wallet could not be projected.
pub(crate) async fn parked(db: &mut PgConnection, id: Uuid) -> Result<bool, ReadError> {
    Ok(sqlx::query_scalar(PARKED).bind(id).fetch_one(db).await?)
}

/// An error while a transaction that was not found may be parked.
pub(crate) async fn transaction_must_not_be_parked(db: &mut PgConnection, id: Uuid) -> Result<(), ReadError> {
    let parked: bool = sqlx::query_scalar(PARKED_TRANSACTION)
        .bind(id)
        .fetch_one(db)
        .await?;
    if parked {
        Err(ReadError::MayBeParked("transaction"))
    } else {
        Ok(())
    }
}

/// An error while `what` was not found and may be parked: of parked events only wallet and transaction are known.
pub(crate) async fn nothing_must_be_parked(
    db: &mut PgConnection,
    what: &'static str,
) -> Result<(), ReadError> {
    let parked: bool = sqlx::query_scalar(ANY_PARKED).fetch_one(db).await?;
    if parked {
        Err(ReadError::MayBeParked(what))
    } else {
        Ok(())
    }
}

pub(crate) async fn transaction(db: &mut PgConnection, id: Uuid) -> Result<Vec<EntryRow>, ReadError> {
    Ok(sqlx::query_as(TRANSACTION).bind(id).fetch_all(db).await?)
}

/// The entries of the movement with this external id.
pub(crate) async fn movement(db: &mut PgConnection, external_id: &str) -> Result<Vec<EntryRow>, ReadError> {
    Ok(sqlx::query_as(BY_MOVEMENT)
        .bind(external_id)
        .fetch_all(db)
        .await?)
}

pub(crate) async fn hold(db: &mut PgConnection, id: Uuid) -> Result<Option<HoldRow>, ReadError> {
    Ok(sqlx::query_as(HOLD).bind(id).fetch_optional(db).await?)
}

/// At most `limit` holds of the wallet that were placed below version `below` (exclusive), newest first.
pub(crate) async fn holds(
    db: &mut PgConnection,
    wallet: Uuid,
    below: i64,
    status: Option<&str>,
    limit: i64,
) -> Result<Vec<HoldRow>, ReadError> {
    let query = match status {
        None => sqlx::query_as(HOLDS).bind(wallet).bind(below).bind(limit),
        Some(status) => sqlx::query_as(HOLDS_BY_STATUS)
            .bind(wallet)
            .bind(below)
            .bind(limit)
            .bind(status),
    };
    Ok(query.fetch_all(db).await?)
}
