//! What running and verifying projections needs to know of the journal: whether it has what a projection has.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;
use wallex_domain::{Mark, Partition};
use wallex_postgres::column;

// As a subquery in the column list: so the only possible plan is one index lookup per row.
const HASHES: &str = "
SELECT partition, (SELECT hash FROM journal.event e WHERE e.partition = tip.partition AND e.seq = tip.seq)
  FROM unnest($1::int[], $2::bigint[]) AS tip (partition, seq)";

const PUBLISHED: &str = "SELECT partition, checkpoint_seq FROM journal.publication";

const HEAD: &str = "
SELECT p.last_seq, e.hash
  FROM journal.partition p LEFT JOIN journal.event e ON e.partition = p.id AND e.seq = $2
 WHERE p.id = $1";

const UNKNOWN_WALLETS: &str = "SELECT id FROM unnest($1::uuid[]) id WHERE NOT EXISTS (SELECT 1 FROM journal.head j WHERE j.wallet_id = id)";

const UNKNOWN_HOLDS: &str = "SELECT id FROM unnest($1::uuid[]) id WHERE NOT EXISTS (SELECT 1 FROM journal.hold j WHERE j.hold_id = id)";

const UNKNOWN_ERASURES: &str = "
SELECT r.wallet_id
  FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS r (wallet_id, partition, seq)
 WHERE NOT EXISTS (SELECT 1 FROM journal.event e
                    WHERE e.partition = r.partition AND e.seq = r.seq AND e.wallet_id = r.wallet_id
                      AND e.type = 'wallet.personal_data_erased')";

/// The hashes of the events at the seqs of `tips`; `None` where there is no event.
pub async fn hashes(
    db: &mut PgConnection,
    tips: impl Iterator<Item = (Partition, Mark)>,
) -> sqlx::Result<HashMap<Partition, Option<Vec<u8>>>> {
    let (partitions, seqs): (Vec<i32>, Vec<i64>) =
        tips.map(|(partition, mark)| (partition.0, mark.seq)).unzip();
    let rows: Vec<(i32, Option<Vec<u8>>)> = sqlx::query_as(HASHES)
        .bind(partitions)
        .bind(seqs)
        .fetch_all(db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, hash)| (Partition(partition), hash))
        .collect())
}

/// Up to which seq each partition has been published.
pub async fn published(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(Partition, i64)>> {
    let rows: Vec<(i32, i64)> = sqlx::query_as(PUBLISHED).fetch_all(db).await?;
    Ok(rows
        .into_iter()
        .map(|(partition, seq)| (Partition(partition), seq))
        .collect())
}

/// The last seq of the partition and the hash of its event `seq`; `None` if there is no such partition.
pub async fn head(
    db: &mut PgConnection,
    partition: Partition,
    seq: i64,
) -> sqlx::Result<Option<(i64, Option<Vec<u8>>)>> {
    sqlx::query_as(HEAD)
        .bind(partition.0)
        .bind(seq)
        .fetch_optional(db)
        .await
}

pub async fn unknown_wallets(db: &mut PgConnection, ids: Vec<Uuid>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(UNKNOWN_WALLETS).bind(ids).fetch_all(db).await
}

pub async fn unknown_holds(db: &mut PgConnection, ids: Vec<Uuid>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(UNKNOWN_HOLDS).bind(ids).fetch_all(db).await
}

/// The wallets among `erasures` (wallet, partition, seq) without an erasing event at that position.
pub async fn unknown_erasures(
    db: &mut PgConnection,
    erasures: &[(Uuid, i32, i64)],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(UNKNOWN_ERASURES)
        .bind(column(erasures, |row| row.0))
        .bind(column(erasures, |row| row.1))
        .bind(column(erasures, |row| row.2))
        .fetch_all(db)
        .await
}
