//! Recovers a partition whose cursor is not where it was left: gone, moved back, or restored from a backup.
//!
//! The invariant: rows and cursor agree when the transaction ends. Rows from events after the cursor would be
//! applied twice, so all rows of the partition are deleted, and it is refilled from the journal.

use sqlx::SqlSafeStr as _;
use wallex_domain::Partition;
use wallex_journal::read;
use wallex_projections::Projection;
use wallex_projections::cursor::Standing;

use super::Applier;

/// Like the applier's, with two differences: it scans whole tables, where an index would not help, and it has no short
/// time limit: a partition with millions of rows is emptied in one transaction, so that nobody ever sees half of it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off; SET LOCAL jit = off; \
     SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0; \
     SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// What was done to a partition.
pub(crate) struct Recovered {
    pub(crate) standing: Standing,
    /// Its rows did not match its cursor and were deleted.
    pub(crate) emptied: bool,
}

impl<P: Projection> Applier<P> {
    /// Makes rows and cursor of a partition agree, and says up to where the journal must refill it.
    pub(crate) async fn recover(&self, partition: Partition) -> sqlx::Result<Recovered> {
        let heads = read::partitions(&self.journal).await?;
        let refill_to = heads
            .iter()
            .find(|head| head.id == partition)
            .map_or(0, |head| head.mark.seq);
        let mut db = wallex_postgres::begin(&self.read, BEGIN).await?;
        self.cursors.create(&mut db, &[partition]).await?;
        let locked = self.cursors.lock(&mut db, &[partition]).await?;
        let cursor = locked.cursors.get(&partition).ok_or(sqlx::Error::RowNotFound)?;
        let beyond: bool = sqlx::query_scalar(P::BEYOND)
            .bind(partition.0)
            .bind(cursor.seq)
            .fetch_one(&mut *db)
            .await?;
        if beyond {
            for statement in P::EMPTY {
                sqlx::query(statement.into_sql_str())
                    .bind(partition.0)
                    .execute(&mut *db)
                    .await?;
            }
            // The cursor was deleted with the rows.
            self.cursors.restart(&mut db, partition, refill_to).await?;
        } else {
            self.cursors.refill(&mut db, partition, refill_to).await?;
        }
        let standings = self.cursors.read(&mut db, &[partition]).await?;
        let standing = *standings.get(&partition).ok_or(sqlx::Error::RowNotFound)?;
        db.commit().await?;
        Ok(Recovered {
            standing,
            emptied: beyond,
        })
    }
}
