//! The SQL of the ledger's reads. The invariant: an account and a page of postings are found through one index
//! per side and cost what they answer with; only the trial balance reads everything, with a time of its own.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_projections::{Name, cursor};

use super::filter::{Filter, Of};
use super::place::Place;
use crate::problem::ReadError;

/// The snapshot of a trial balance: plans are the planner's own, and it may take a while. The tables are locked before it is
/// taken: a reset of the ledger, which truncates them, comes before the snapshot or after it, never into it (PostgreSQL
/// manual, LOCK).
pub(crate) const BEGIN_TRIAL_BALANCE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '5s'; \
     SET LOCAL jit = off; SET LOCAL lock_timeout = '5s'; \
     LOCK TABLE ledger.cursor, ledger.account_total IN ACCESS SHARE MODE";

/// Totals are kept per partition: up to 256 rows for each currency, in the order of their key. As text, because a
/// numeric is larger than any integer.
pub(crate) const TOTALS: &str = "SELECT currency, sum(debits)::text AS debits, sum(credits)::text AS credits \
     FROM ledger.account_total WHERE account = $1 GROUP BY currency ORDER BY currency";

pub(crate) const PARKED: &str = "SELECT EXISTS (SELECT 1 FROM ledger.parked WHERE wallet_id = $1)";

pub(crate) const ANY_PARKED: &str = "SELECT EXISTS (SELECT 1 FROM ledger.parked)";

/// Each side is read through its own index and never further than the page; no posting is on both (a CHECK). The
/// bounds of time are part of the row comparison's index range.
pub(crate) const ACCOUNT_POSTINGS: &str = "SELECT * FROM ( \
       (SELECT partition, seq, line, transaction_id, source, destination, amount, currency, recorded_at \
          FROM ledger.posting WHERE source = $1 AND recorded_at >= $2 \
           AND (recorded_at, partition, seq, line) < ($3, $4, $5, $6) \
         ORDER BY recorded_at DESC, partition DESC, seq DESC, line DESC LIMIT $7) \
       UNION ALL \
       (SELECT partition, seq, line, transaction_id, source, destination, amount, currency, recorded_at \
          FROM ledger.posting WHERE destination = $1 AND recorded_at >= $2 \
           AND (recorded_at, partition, seq, line) < ($3, $4, $5, $6) \
         ORDER BY recorded_at DESC, partition DESC, seq DESC, line DESC LIMIT $7) \
     ) side ORDER BY recorded_at DESC, partition DESC, seq DESC, line DESC LIMIT $7";

/// A transaction has a few postings; ordered and filtered by the caller.
pub(crate) const TRANSACTION_POSTINGS: &str = "SELECT partition, seq, line, transaction_id, source, destination, amount, \
       currency, recorded_at FROM ledger.posting WHERE transaction_id = $1";

/// Every total there is, once.
pub(crate) const SUMS: &str = "SELECT currency, split_part(account, ':', 1) AS kind, sum(debits)::text AS debits, \
       sum(credits)::text AS credits FROM ledger.account_total GROUP BY 1, 2 ORDER BY 1, 2";

#[derive(sqlx::FromRow)]
pub(crate) struct TotalRow {
    pub(crate) currency: String,
    pub(crate) debits: String,
    pub(crate) credits: String,
}

#[derive(sqlx::FromRow)]
pub(crate) struct SumRow {
    pub(crate) currency: String,
    pub(crate) kind: String,
    pub(crate) debits: String,
    pub(crate) credits: String,
}

#[derive(sqlx::FromRow)]
pub(crate) struct PostingRow {
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) line: i16,
    pub(crate) transaction_id: Uuid,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) recorded_at: i64,
}

impl PostingRow {
    pub(crate) fn place(&self) -> Place {
        Place {
            recorded_at: self.recorded_at,
            partition: self.partition,
            seq: self.seq,
            line: self.line,
        }
    }
}

pub(super) async fn totals(db: &mut PgConnection, account: &str) -> Result<Vec<TotalRow>, ReadError> {
    Ok(sqlx::query_as(TOTALS).bind(account).fetch_all(db).await?)
}

pub(super) async fn parked(db: &mut PgConnection, wallet: Uuid) -> Result<bool, ReadError> {
    Ok(sqlx::query_scalar(PARKED).bind(wallet).fetch_one(db).await?)
}

/// Whether postings that had been there are being posted again.
pub(super) async fn being_filled(db: &mut PgConnection) -> Result<bool, ReadError> {
    Ok(cursor::is_being_filled(db, Name::Ledger).await?)
}

pub(super) async fn any_parked(db: &mut PgConnection) -> Result<bool, ReadError> {
    Ok(sqlx::query_scalar(ANY_PARKED).fetch_one(db).await?)
}

pub(super) async fn sums(db: &mut PgConnection) -> Result<Vec<SumRow>, ReadError> {
    Ok(sqlx::query_as(SUMS).fetch_all(db).await?)
}

/// At most `limit` postings below `below` (exclusive) that `filter` lets through, newest first.
pub(crate) async fn postings(
    db: &mut PgConnection,
    filter: &Filter,
    below: Place,
    limit: i64,
) -> Result<Vec<PostingRow>, ReadError> {
    match &filter.of {
        Of::Account(account) => Ok(sqlx::query_as(ACCOUNT_POSTINGS)
            .bind(account.to_string())
            .bind(filter.low())
            .bind(below.recorded_at)
            .bind(below.partition)
            .bind(below.seq)
            .bind(below.line)
            .bind(limit)
            .fetch_all(db)
            .await?),
        Of::Transaction(id) => {
            let mut rows: Vec<PostingRow> = sqlx::query_as(TRANSACTION_POSTINGS)
                .bind(id)
                .fetch_all(db)
                .await?;
            rows.retain(|row| row.recorded_at >= filter.low() && row.place() < below);
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.place()));
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(rows)
        }
    }
}
