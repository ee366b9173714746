//! What readers ask of the read model, and the rows they get.
//!
//! The invariant: every statement finds its rows through one index and reads no more of them than it returns;
//! tests/plans enforces this.

/// Whether the partition of a row of `read_model.wallet` is being refilled: the row then shows an earlier state.
macro_rules! being_filled {
    () => {
        "EXISTS (SELECT 1 FROM read_model.cursor \
                  WHERE cursor.partition = wallet.partition AND cursor.seq < cursor.refill_to)"
    };
}

pub mod history;
pub mod holds;
pub mod parked;
pub mod transactions;
pub mod wallets;

use sqlx::PgConnection;

/// The cursor that the snapshot was read at.
pub const FILLED_AT: &str = "SELECT seq FROM read_model.cursor WHERE partition = $1";

/// The cursor of a partition; `None` while the read model is being emptied.
pub async fn filled_at(snapshot: &mut PgConnection, partition: i32) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(FILLED_AT)
        .bind(partition)
        .fetch_optional(snapshot)
        .await
}
