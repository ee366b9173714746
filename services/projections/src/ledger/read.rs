//! The reads of the ledger. The invariant: an account or a page of postings is found through one index per side and
//! costs only what it returns; only the trial balance reads everything, with a time limit of its own.

use sqlx::PgConnection;
use uuid::Uuid;

/// The snapshot of a trial balance: the planner chooses the plans, and it may take a while. The tables are locked
/// before the snapshot is taken, so a reset of the ledger, which truncates them, comes before or after it, never in
/// between (PostgreSQL manual, LOCK).
pub const BEGIN_TRIAL_BALANCE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = '5s'; \
     SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on; \
     SET LOCAL jit = off; SET LOCAL lock_timeout = '5s'; \
     LOCK TABLE ledger.cursor, ledger.account_total IN ACCESS SHARE MODE";

/// Totals are kept per partition: up to 256 rows per currency, in key order. As text, because a numeric may be larger
/// than any integer.
pub const TOTALS: &str = "SELECT currency, sum(debits)::text AS debits, sum(credits)::text AS credits \
     FROM ledger.account_total WHERE account = $1 GROUP BY currency ORDER BY currency";

pub const PARKED: &str = "SELECT EXISTS (SELECT 1 FROM ledger.parked WHERE wallet_id = $1)";

const ANY_PARKED: &str = "SELECT EXISTS (SELECT 1 FROM ledger.parked)";

/// Each side is read through its own index and never beyond the page; no posting is on both (a CHECK). The time bounds
/// are part of the row comparison's index range.
pub const ACCOUNT_POSTINGS: &str = "SELECT * FROM ( \
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

/// A transaction has a few postings: [`transaction_postings`] orders and filters them.
pub const TRANSACTION_POSTINGS: &str = "SELECT partition, seq, line, transaction_id, source, destination, amount, \
       currency, recorded_at FROM ledger.posting WHERE transaction_id = $1";

/// Every total, once.
const SUMS: &str = "SELECT currency, split_part(account, ':', 1) AS kind, sum(debits)::text AS debits, \
       sum(credits)::text AS credits FROM ledger.account_total GROUP BY 1, 2 ORDER BY 1, 2";

/// Every movement debits one account and credits another in one transaction, so the totals of a currency are equal in
/// every snapshot.
const UNBALANCED: &str = "SELECT currency, sum(credits - debits)::text FROM ledger.account_total \
     GROUP BY currency HAVING sum(credits - debits) <> 0";

const BALANCES: &str = "SELECT substr(account, 8)::uuid, sum(credits - debits)::text FROM ledger.account_total \
     WHERE account = ANY(SELECT 'wallet:' || id FROM unnest($1::uuid[]) id) GROUP BY account";

/// Debits and credits of an account in one currency; minor units as decimal text.
#[derive(sqlx::FromRow)]
pub struct TotalRow {
    pub currency: String,
    pub debits: String,
    pub credits: String,
}

/// The same for all accounts of a kind.
#[derive(sqlx::FromRow)]
pub struct SumRow {
    pub currency: String,
    pub kind: String,
    pub debits: String,
    pub credits: String,
}

/// The key that postings are ordered by; the next page starts below it (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub recorded_at: i64,
    pub partition: i32,
    pub seq: i64,
    pub line: i16,
}

impl Place {
    /// Above every posting.
    pub const END: Self = Self {
        recorded_at: i64::MAX,
        partition: i32::MAX,
        seq: i64::MAX,
        line: i16::MAX,
    };

    /// Below every posting of this time, above all earlier ones.
    pub fn beginning_of(recorded_at: i64) -> Self {
        Self {
            recorded_at,
            partition: i32::MIN,
            seq: i64::MIN,
            line: i16::MIN,
        }
    }
}

#[derive(sqlx::FromRow)]
pub struct PostingRow {
    pub partition: i32,
    pub seq: i64,
    pub line: i16,
    pub transaction_id: Uuid,
    pub source: String,
    pub destination: String,
    pub amount: i64,
    pub currency: String,
    pub recorded_at: i64,
}

impl PostingRow {
    pub fn place(&self) -> Place {
        Place {
            recorded_at: self.recorded_at,
            partition: self.partition,
            seq: self.seq,
            line: self.line,
        }
    }
}

/// By currency.
pub async fn totals(db: &mut PgConnection, account: &str) -> sqlx::Result<Vec<TotalRow>> {
    sqlx::query_as(TOTALS).bind(account).fetch_all(db).await
}

/// Whether an event of the wallet could not be posted.
pub async fn parked(db: &mut PgConnection, wallet: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(PARKED).bind(wallet).fetch_one(db).await
}

/// Whether any event could not be posted.
pub async fn any_parked(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(ANY_PARKED).fetch_one(db).await
}

/// By currency and kind of account.
pub async fn sums(db: &mut PgConnection) -> sqlx::Result<Vec<SumRow>> {
    sqlx::query_as(SUMS).fetch_all(db).await
}

/// Currencies whose credits and debits differ, with the difference.
pub async fn unbalanced(db: &mut PgConnection) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(UNBALANCED).fetch_all(db).await
}

/// The available balance of those of the wallets that have an account; with more than one currency, the sum.
pub async fn balances(db: &mut PgConnection, wallets: &[Uuid]) -> sqlx::Result<Vec<(Uuid, String)>> {
    sqlx::query_as(BALANCES).bind(wallets).fetch_all(db).await
}

/// At most `limit` postings on either side of an account, recorded at `from` or later, below `below` (exclusive),
/// newest first.
pub async fn account_postings(
    db: &mut PgConnection,
    account: &str,
    from: i64,
    below: Place,
    limit: i64,
) -> sqlx::Result<Vec<PostingRow>> {
    sqlx::query_as(ACCOUNT_POSTINGS)
        .bind(account)
        .bind(from)
        .bind(below.recorded_at)
        .bind(below.partition)
        .bind(below.seq)
        .bind(below.line)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// The same for a transaction.
pub async fn transaction_postings(
    db: &mut PgConnection,
    id: Uuid,
    from: i64,
    below: Place,
    limit: i64,
) -> sqlx::Result<Vec<PostingRow>> {
    let mut rows: Vec<PostingRow> = sqlx::query_as(TRANSACTION_POSTINGS)
        .bind(id)
        .fetch_all(db)
        .await?;
    rows.retain(|row| row.recorded_at >= from && row.place() < below);
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.place()));
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}
