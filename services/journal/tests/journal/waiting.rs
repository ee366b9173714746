//! What tests wait for in the server.

use std::time::Duration;

use wallex_testing::eventually;

use crate::harness::Journal;

impl Journal {
    /// Waits until so many batches wait for a lock.
    pub(crate) async fn appends_wait(&self, count: i64) {
        eventually(Duration::from_secs(10), "batches wait for a lock", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%journal.append%'",
            )
            .fetch_one(&self.pool)
            .await
            .unwrap();
            (waiting >= count).then_some(())
        })
        .await;
    }
}
