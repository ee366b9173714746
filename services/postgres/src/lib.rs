//! What every user of PostgreSQL needs: transactions on pooled connections, error codes, what blocks vacuum, and
//! schemas with their migrations. Knows none of Wallex's tables.
//!
//! The invariant of transactions: a connection returns to its pool only when it is known to be outside one. Opening a
//! transaction takes several statements in one message (`BEGIN; SET LOCAL …`), and any of them may fail alone: a
//! cancelled statement, a statement timeout, a client that goes away and drops the future. The server is then inside a
//! transaction, often an aborted one, and the driver does not know: the next user of the connection would fail, or read
//! through an old snapshot, until the connection's lifetime ends. So a connection whose transaction did not open or end
//! as requested is closed. A new one costs milliseconds.
#![forbid(unsafe_code)]

pub mod horizon;
pub mod schema;
mod sqlstate;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, SqlSafeStr, raw_sql};

pub use sqlstate::SqlState;

/// How long the rollback of an abandoned transaction may take, including a statement that is still running. After that
/// the connection is closed, and the server notices by itself.
const ROLLBACK: Duration = Duration::from_secs(5);

/// An expression for a SELECT: from then on the transaction's COMMIT waits until its writes are flushed, and confirmed
/// where standbys must confirm, even if the session's default is weaker (PostgreSQL manual, chapter 20.5).
pub const DURABLE_COMMIT: &str = "set_config('synchronous_commit', \
    CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on' \
         ELSE current_setting('synchronous_commit') END, true)";

/// Opens one snapshot for reads through indexes. The settings are local to the transaction, so neither a role's
/// defaults nor a pooler change them. With the three plan settings, a statement prepared while the tables were small
/// keeps its index as they grow; without them it may scan until the next ANALYZE.
pub const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '5s'; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
     SET LOCAL jit = off";

/// The settings of [`SNAPSHOT`] for a whole session. A statement there is a snapshot by itself, in one trip.
const READS: &str = "SET default_transaction_isolation = 'repeatable read'; SET default_transaction_read_only = on; \
     SET statement_timeout = '2s'; SET idle_in_transaction_session_timeout = '5s'; \
     SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off";

/// Another pool on the same database, whose sessions have the settings of [`SNAPSHOT`], and so cannot write.
pub fn for_reads(pool: &PgPool) -> PgPool {
    let options = pool.options().clone().after_connect(|connection, _| {
        Box::pin(async move {
            raw_sql(READS).execute(connection).await?;
            Ok(())
        })
    });
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// A column for a statement that takes its rows by `unnest($1, $2, …)`: a value of each row.
pub fn column<Row, Value>(
    rows: impl IntoIterator<Item = Row>,
    value: impl FnMut(Row) -> Value,
) -> Vec<Value> {
    rows.into_iter().map(value).collect()
}

/// An open transaction on a pooled connection. Rolled back if dropped before it ends.
#[derive(Debug)]
pub struct Transaction(Doubtful);

/// Opens a transaction with `statements`: first `BEGIN`, then settings for this transaction only (`SET LOCAL`). The
/// only way to open one on a pooled connection; dev/structure/check looks for others.
pub async fn begin(pool: &PgPool, statements: impl SqlSafeStr) -> sqlx::Result<Transaction> {
    let mut opening = Doubtful(Some(pool.acquire().await?));
    // A simple query: the driver does not track such a transaction, so it is never wrong about its state.
    raw_sql(statements).execute(&mut *opening).await?;
    Ok(Transaction(opening))
}

impl Transaction {
    /// After an error, the transaction may or may not have been committed.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        self.0.take().end("COMMIT").await
    }

    pub async fn rollback(mut self) -> sqlx::Result<()> {
        self.0.take().end("ROLLBACK").await
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let left = self.0.take();
        if left.0.is_some() {
            tokio::spawn(async move {
                // If it failed or timed out, the connection is in doubt and gets closed.
                let _ = tokio::time::timeout(ROLLBACK, left.end("ROLLBACK")).await;
            });
        }
    }
}

/// A connection that is, or may be, inside a transaction; closed when dropped. Empty once taken.
#[derive(Debug)]
struct Doubtful(Option<PoolConnection<Postgres>>);

impl Doubtful {
    fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Ends the transaction with `statement`, and returns the connection to the pool if that succeeded.
    async fn end(mut self, statement: &'static str) -> sqlx::Result<()> {
        raw_sql(statement).execute(&mut *self).await?;
        drop(self.0.take());
        Ok(())
    }
}

#[expect(
    clippy::expect_used,
    reason = "taken by value only, on the way to the end: nobody is left to ask"
)]
impl Deref for Doubtful {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0
            .as_ref()
            .expect("the connection is there until it is taken")
    }
}

#[expect(clippy::expect_used, reason = "as above")]
impl DerefMut for Doubtful {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0
            .as_mut()
            .expect("the connection is there until it is taken")
    }
}

impl Drop for Doubtful {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}
