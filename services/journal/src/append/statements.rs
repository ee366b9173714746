//! The statements of one batch, on the connection that the writer owns. They set the session settings they rely on
//! themselves, for their transaction only: neither a role's defaults nor a pooler changes what a batch means.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use wallex_domain::{Mark, Partition};
use wallex_postgres::DURABLE_COMMIT;

use super::state::{Loaded, LockedPartition};
use crate::read::hash_column;

/// Timeouts of a batch's transaction.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For partition locks: as long as other batches may reasonably take, and longer than `idle_in_transaction`.
    pub lock: Duration,
    /// For all other locks. The holder of the partitions meets nobody there for more than a moment.
    pub beside: Duration,
    /// For every statement once the partitions are locked. A batch takes milliseconds; one that a slow server does not
    /// finish in time continues in parts.
    pub statement: Duration,
    /// After this, a writer that froze between two statements loses its transaction, and with it its locks.
    pub idle_in_transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            lock: Duration::from_millis(2_500),
            beside: Duration::from_millis(500),
            statement: Duration::from_secs(3),
            idle_in_transaction: Duration::from_secs(2),
        }
    }
}

impl Timeouts {
    /// For the statement that locks the partitions: each of them may take [`Self::lock`].
    fn locking(self) -> Duration {
        4 * self.lock
    }

    /// For requests suspected of making others wait.
    pub(super) fn short(self) -> Self {
        Self {
            lock: self.lock.min(Duration::from_millis(500)),
            beside: self.beside.min(Duration::from_millis(500)),
            statement: self.statement.min(Duration::from_secs(1)),
            idle_in_transaction: self.idle_in_transaction,
        }
    }
}

/// Settings of a transaction, as one statement. Plans are made once per connection and only use indexes: otherwise a
/// plan made while a table was empty would keep scanning it whole as it grows.
pub(super) const PLAN_SETTINGS: &str = "set_config('plan_cache_mode', 'force_generic_plan', true), \
    set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
    set_config('enable_mergejoin', 'off', true), set_config('enable_bitmapscan', 'off', true), \
    set_config('enable_sort', 'off', true), set_config('jit', 'off', true)";

pub(super) async fn open_partitions(db: &mut PgConnection) -> Result<Vec<Partition>, sqlx::Error> {
    let open: Vec<i32> = sqlx::query_scalar("SELECT id FROM journal.partition WHERE open ORDER BY id")
        .fetch_all(db)
        .await?;
    Ok(open.into_iter().map(Partition).collect())
}

/// Step 1: begins the transaction, locks the partitions in ascending order, then reads the clock. One message, but
/// separate statements: each sees what was committed before it began, so the clock and the loads that follow are never
/// older than the locks.
pub(super) async fn begin_and_lock(
    db: &mut PgConnection,
    partitions: impl Iterator<Item = Partition>,
    timeouts: Timeouts,
) -> Result<Loaded, sqlx::Error> {
    let ids = list(partitions);
    let statement = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; \
         SELECT {DURABLE_COMMIT}, set_config('lock_timeout', '{}', true), set_config('statement_timeout', '{}', true), \
            set_config('idle_in_transaction_session_timeout', '{}', true), {PLAN_SETTINGS}; \
         SELECT id, last_seq, head_hash, last_recorded_at, open FROM journal.partition \
            WHERE id IN ({ids}) ORDER BY id FOR UPDATE; \
         SELECT set_config('lock_timeout', '{}', true), set_config('statement_timeout', '{}', true); \
         SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock",
        timeouts.lock.as_millis(),
        timeouts.locking().as_millis(),
        timeouts.idle_in_transaction.as_millis(),
        timeouts.beside.as_millis(),
        timeouts.statement.as_millis(),
    );
    let mut loaded = Loaded::default();
    for row in sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(db).await? {
        if let Ok(clock) = row.try_get("clock") {
            loaded.clock = clock;
        } else if let Ok(id) = row.try_get("id") {
            let partition = LockedPartition {
                head: Mark {
                    seq: row.try_get("last_seq")?,
                    hash: hash_column(&row, "head_hash")?,
                },
                last_recorded_at: row.try_get("last_recorded_at")?,
                open: row.try_get("open")?,
            };
            loaded.partitions.insert(Partition(id), partition);
        }
    }
    Ok(loaded)
}

/// Those of the partitions that are not locked at this moment. The caller must roll the transaction back.
pub(super) async fn free_partitions(
    db: &mut PgConnection,
    partitions: &BTreeSet<Partition>,
) -> Result<BTreeSet<Partition>, sqlx::Error> {
    let ids = list(partitions.iter().copied());
    let statement = format!(
        "BEGIN; SELECT id FROM journal.partition WHERE id IN ({ids}) ORDER BY id FOR UPDATE SKIP LOCKED"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(statement)).fetch_all(db).await?;
    rows.iter().map(|row| row.try_get("id").map(Partition)).collect()
}

fn list(partitions: impl Iterator<Item = Partition>) -> String {
    let mut ids = String::new();
    for (i, partition) in partitions.enumerate() {
        let separator = if i == 0 { "" } else { "," };
        // Integers only; writing to a String cannot fail.
        let _ = write!(ids, "{separator}{partition}");
    }
    ids
}
