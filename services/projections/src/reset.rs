//! Empties a projection on purpose, so that it is filled again from the journal. Safe while its projectors run.
//!
//! The invariant: rows and cursors are reset in one transaction, under a lock that no projector step passes, so nothing
//! is applied half or twice.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wallex_journal::read::PartitionHead;
use wallex_postgres::{SqlState, column};

use crate::cursor::restart_statement;
use crate::registry::Name;

/// Waits this long for projector steps and page reads; commits queue behind the lock meanwhile.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '3s'; \
     SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '30s'";
/// Pause before another try, when a lock was not available.
const PAUSE: Duration = Duration::from_millis(500);
const ATTEMPTS: u32 = 40;

/// Empties the projection. Its running projectors notice within seconds and refill it up to `heads`, the journal's, and
/// on.
pub async fn reset(name: Name, read: &mut PgConnection, heads: &[PartitionHead]) -> sqlx::Result<()> {
    for attempt in 1.. {
        match once(name, read, heads).await {
            // Somebody is reading or writing.
            Err(error)
                if attempt < ATTEMPTS
                    && matches!(
                        SqlState::of(&error),
                        Some(SqlState::LOCK_NOT_AVAILABLE | SqlState::DEADLOCK_DETECTED)
                    ) =>
            {
                tracing::warn!(%error, attempt, "the projection is busy");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    Ok(())
}

async fn once(name: Name, read: &mut PgConnection, heads: &[PartitionHead]) -> sqlx::Result<()> {
    let mut db = read.begin_with(BEGIN).await?;
    let schema = name.schema().name;
    let tables: Vec<String> = name
        .emptied()
        .iter()
        .map(|table| format!("{schema}.{table}"))
        .collect();
    // Readers may look at cursors; nobody may lock or write one.
    let lock = format!("LOCK TABLE {schema}.cursor IN EXCLUSIVE MODE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *db).await?;
    let empty = format!("TRUNCATE {}", tables.join(", "));
    sqlx::query(AssertSqlSafe(empty)).execute(&mut *db).await?;
    sqlx::query(AssertSqlSafe(restart_statement(schema)))
        .bind(column(heads, |head| head.id.0))
        .bind(column(heads, |head| head.mark.seq))
        .execute(&mut *db)
        .await?;
    db.commit().await
}
