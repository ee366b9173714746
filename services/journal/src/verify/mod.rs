//! Proves that the journal is intact. Only reads, in short statements; safe on a live system.
//!
//! ```text
//! per partition
//!   walk     every event in order: hash chain, versions, the wallet's balance, the other leg of a movement, the personal
//!            data beside the event, the holds that ended, the names of movements. Folds wallets,
//!            open holds and reversals on the way
//!   compare  one snapshot, once the walk has caught up with it: heads, open holds, reversals, the publisher's checkpoint
//!            and the partition's own row against the fold
//! then
//!   strays   rows that no event accounts for
//!   movements  names of movements against their events
//!   answers  stored answers against the events they describe
//! ```
//! Memory grows with the wallets, open holds and reversed transactions of one partition, never with its events. What
//! the tables beside the events cannot prove is listed in docs/journal.md.

mod answers;
mod compare;
mod fold;
mod holds;
mod legs;
mod movements;
mod personal;
mod record;
mod report;
mod reversals;
mod strays;
mod walk;

use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use wallex_domain::Partition;

pub use answers::ANSWERS;
pub use movements::ROWS as MOVEMENTS;
pub use report::{Kind, Report};
pub use reversals::ROWS as REVERSALS;

use crate::read;

/// Events read per statement.
pub const CHUNK: i64 = 2_000;

/// Opens the transaction in which rows are compared with the fold.
pub const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Opens a transaction on the check's own connection, which never goes back into a pool.
async fn begin<'a>(
    db: &'a mut PgConnection,
    statements: &'static str,
) -> sqlx::Result<Transaction<'a, Postgres>> {
    db.begin_with(statements).await
}

/// Checks all partitions up to the heads they have when the check reaches them.
pub async fn verify(db: &PgPool) -> sqlx::Result<Report> {
    // One connection for everything, never returned to the pool: a check takes no more than that from the database, and
    // leaves no transaction behind.
    let mut db = db.acquire().await?.detach();
    let mut report = Report::default();
    let partitions: Vec<Partition> = read::partitions(&mut db)
        .await?
        .into_iter()
        .map(|head| head.id)
        .collect();
    let mut reversed = reversals::Known::default();
    for partition in &partitions {
        walk::partition(&mut db, *partition, &mut reversed, &mut report).await?;
        report.partitions += 1;
    }
    strays::look_for(&mut db, &partitions, &mut report).await?;
    reversals::look_for_strays(&mut db, &reversed, &mut report).await?;
    movements::check_rows(&mut db, &mut report).await?;
    answers::check(&mut db, &mut report).await?;
    Ok(report)
}
