//! How far the journal has got, in events and in time.

use std::collections::HashMap;

use sqlx::{PgExecutor, Row as _};
use wallex_domain::{Mark, Partition};

use super::hash_column;

/// A partition's head: its last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionHead {
    pub id: Partition,
    pub mark: Mark,
}

/// The seq of the last event of each partition. One row per partition, 256 at most: read whole.
pub async fn levels(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i32, i64)>> {
    sqlx::query_as("SELECT id, last_seq FROM journal.partition")
        .fetch_all(db)
        .await
}

/// All partitions, by id.
pub async fn partitions(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<PartitionHead>> {
    sqlx::query("SELECT id, last_seq, head_hash FROM journal.partition ORDER BY id")
        .fetch_all(db)
        .await?
        .iter()
        .map(|row| {
            Ok(PartitionHead {
                id: Partition(row.try_get("id")?),
                mark: Mark {
                    seq: row.try_get("last_seq")?,
                    hash: hash_column(row, "head_hash")?,
                },
            })
        })
        .collect()
}

/// Up to which seq (inclusive) each partition is in Kafka, and in the journal. A partition without a publisher row is
/// not in Kafka at all.
pub const PUBLISHED: &str = "SELECT lane.id, coalesce(publication.checkpoint_seq, 0), lane.last_seq \
     FROM journal.partition lane LEFT JOIN journal.publication ON publication.partition = lane.id";

/// Age in microseconds of the given events, by the clock that recorded them. Never negative: after a change of server,
/// an event's time may be ahead of the clock.
pub const AGES: &str = "SELECT event.partition, event.seq, \
       greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - event.recorded_at, 0) \
     FROM unnest($1::int[], $2::bigint[]) AS first (partition, seq) \
     JOIN journal.event ON event.partition = first.partition AND event.seq = first.seq";

/// How far the recorded times are ahead of the clock, in the partition that is furthest ahead.
const CLOCK_LEAD: &str = "SELECT (greatest(max(last_recorded_at) \
       - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, 0) / 1000000.0)::float8 FROM journal.partition";

/// Partition, published seq, recorded seq; see [`PUBLISHED`].
pub async fn published(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i32, i64, i64)>> {
    sqlx::query_as(PUBLISHED).fetch_all(db).await
}

/// By partition and seq; see [`AGES`]. Events that the journal lacks are left out.
pub async fn ages(
    db: impl PgExecutor<'_>,
    events: Vec<(i32, i64)>,
) -> sqlx::Result<HashMap<(i32, i64), i64>> {
    let (partitions, seqs): (Vec<i32>, Vec<i64>) = events.into_iter().unzip();
    let ages: Vec<(i32, i64, i64)> = sqlx::query_as(AGES)
        .bind(partitions)
        .bind(seqs)
        .fetch_all(db)
        .await?;
    let ages = ages.into_iter();
    Ok(ages
        .map(|(partition, seq, age)| ((partition, seq), age))
        .collect())
}

/// In seconds, never negative; `None` without partitions.
pub async fn clock_lead(db: impl PgExecutor<'_>) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(CLOCK_LEAD).fetch_one(db).await
}
