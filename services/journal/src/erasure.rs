//! Removes personal data after an erasure was decided: in small steps, so that a wallet with a million movements delays
//! nobody. Salt and data are removed; the event keeps the digest, which reveals nothing without the salt.
//!
//! The invariant: an interrupted step is repeated, and only data older than the erasure is touched. No row can come
//! back: writing an older event would take the wallet's partition, and all older events are written.

use sqlx::PgPool;
use uuid::Uuid;
use wallex_domain::WalletId;

/// Versions of a wallet that one step covers.
const STEP: i64 = 1_000;

/// Small transactions with plans that only use indexes, like the append protocol's.
const BEGIN: &str = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
    SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; SET LOCAL lock_timeout = '5s'; \
    SET LOCAL statement_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

const NEXT: &str = "SELECT event_id, wallet_id, version, done_version FROM journal.erasure \
    WHERE $1::uuid IS NULL OR wallet_id = $1 ORDER BY event_id LIMIT 1 FOR UPDATE SKIP LOCKED";

/// The events of a wallet, and those on the other side of its movements.
const REMOVE: &str = "DELETE FROM journal.personal WHERE event_id IN ( \
    SELECT other.event_id FROM journal.event own \
    JOIN journal.event other ON other.transaction_id = own.transaction_id \
    WHERE own.wallet_id = $1 AND own.version > $2 AND own.version <= $3)";

/// Works on pending erasures, of one wallet or of all, until all that are left are being worked on by others. Returns
/// how many rows of personal data it removed.
pub async fn finish(db: &PgPool, wallet: Option<WalletId>) -> sqlx::Result<u64> {
    let mut removed = 0;
    while let Some(more) = step(db, wallet).await? {
        removed += more;
    }
    Ok(removed)
}

/// One step; `None` if there is nothing to do.
async fn step(db: &PgPool, wallet: Option<WalletId>) -> sqlx::Result<Option<u64>> {
    let mut tx = wallex_postgres::begin(db, BEGIN).await?;
    let next: Option<(Uuid, Uuid, i64, i64)> = sqlx::query_as(NEXT)
        .bind(wallet.map(|wallet| wallet.0))
        .fetch_optional(&mut *tx)
        .await?;
    let Some((event_id, wallet_id, version, done)) = next else {
        tx.rollback().await?;
        return Ok(None);
    };
    let to = version.min(done + STEP);
    let removed = sqlx::query(REMOVE)
        .bind(wallet_id)
        .bind(done)
        .bind(to)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if to == version {
        sqlx::query("DELETE FROM journal.erasure WHERE event_id = $1")
            .bind(event_id)
            .execute(&mut *tx)
            .await?;
    } else {
        sqlx::query("UPDATE journal.erasure SET done_version = $2 WHERE event_id = $1")
            .bind(event_id)
            .bind(to)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(Some(removed))
}
