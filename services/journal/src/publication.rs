//! Who publishes which partition: rows of `journal.publication`, by the database's clock.
//!
//! The invariant: a row has one (owner, epoch) at a time and every change of owner raises the epoch, so
//! [`Leases::save`] and [`Leases::renew`] change nothing for an owner that lost a partition, and tell it so. However
//! early a partition is taken from a live owner, the worst case is that the topic holds some events twice, and every
//! reader drops those by seq.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::PgPool;
use wallex_domain::{Hash, Mark, Partition};
use wallex_postgres::column;

/// A partition this instance has just taken over.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub partition: Partition,
    pub epoch: i64,
    pub checkpoint: Mark,
}

/// Other replicas and their share of the work.
#[derive(Debug)]
pub struct Replicas {
    /// Live instances, including this one.
    pub alive: BTreeSet<String>,
    pub partitions: usize,
}

impl Replicas {
    /// The most partitions one replica takes: ceil(partitions / alive).
    pub fn share(&self) -> usize {
        self.partitions.div_ceil(self.alive.len().max(1))
    }
}

pub struct Leases {
    journal: PgPool,
    instance: String,
    lease: Duration,
}

const BEAT: &str = "
INSERT INTO journal.publisher (instance, expires_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (instance) DO UPDATE SET expires_at = excluded.expires_at";

// A dead instance keeps its row until somebody looks an hour later.
const FORGET_DEAD: &str =
    "DELETE FROM journal.publisher WHERE expires_at < clock_timestamp() - interval '1 hour'";

const ALIVE: &str = "SELECT instance FROM journal.publisher WHERE expires_at > clock_timestamp()";

const COUNT_PARTITIONS: &str = "SELECT count(*) FROM journal.publication";

// Free, expired, owned by a replica known to be dead, or left by an earlier run of this very instance.
const TAKE: &str = "
WITH free AS MATERIALIZED (
     SELECT partition FROM journal.publication
      WHERE NOT partition = ANY ($3)
        AND (owner IS NULL OR expires_at < clock_timestamp() OR owner = $1 OR owner = ANY ($4))
      ORDER BY partition LIMIT $5 FOR UPDATE SKIP LOCKED)
UPDATE journal.publication p
   SET owner = $1, epoch = p.epoch + 1, expires_at = clock_timestamp() + make_interval(secs => $2)
  FROM free WHERE p.partition = free.partition
RETURNING p.partition, p.epoch, p.checkpoint_seq, p.checkpoint_hash";

const RENEW: &str = "
UPDATE journal.publication p SET expires_at = clock_timestamp() + make_interval(secs => $2)
  FROM unnest($3::int[], $4::bigint[]) AS mine (partition, epoch)
 WHERE p.partition = mine.partition AND p.epoch = mine.epoch AND p.owner = $1
RETURNING p.partition";

const SAVE: &str = "
UPDATE journal.publication p SET checkpoint_seq = mine.seq, checkpoint_hash = mine.hash
  FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::bytea[]) AS mine (partition, epoch, seq, hash)
 WHERE p.partition = mine.partition AND p.epoch = mine.epoch AND p.owner = $1
RETURNING p.partition";

const RELEASE: &str = "
UPDATE journal.publication p SET owner = NULL, expires_at = '-infinity'
  FROM unnest($2::int[], $3::bigint[]) AS mine (partition, epoch)
 WHERE p.partition = mine.partition AND p.epoch = mine.epoch AND p.owner = $1";

const LEAVE: &str = "DELETE FROM journal.publisher WHERE instance = $1";

impl Leases {
    pub fn new(journal: PgPool, instance: String, lease: Duration) -> Self {
        Self {
            journal,
            instance,
            lease,
        }
    }

    /// Announces that this instance is alive, and returns who else is. A replica without a usable topic must not call
    /// this: it would only take a share away from those that can publish.
    pub async fn beat(&self) -> sqlx::Result<Replicas> {
        sqlx::query(BEAT)
            .bind(&self.instance)
            .bind(self.lease.as_secs_f64())
            .execute(&self.journal)
            .await?;
        sqlx::query(FORGET_DEAD).execute(&self.journal).await?;
        let alive: Vec<String> = sqlx::query_scalar(ALIVE).fetch_all(&self.journal).await?;
        let partitions: i64 = sqlx::query_scalar(COUNT_PARTITIONS)
            .fetch_one(&self.journal)
            .await?;
        Ok(Replicas {
            alive: alive.into_iter().collect(),
            partitions: usize::try_from(partitions).unwrap_or(0),
        })
    }

    /// Takes up to `limit` partitions that nobody holds, or that one of `dead` holds. Skips `mine`.
    pub async fn take(
        &self,
        mine: &BTreeMap<Partition, i64>,
        dead: &[String],
        limit: usize,
    ) -> sqlx::Result<Vec<Taken>> {
        let mine: Vec<i32> = mine.keys().map(|partition| partition.0).collect();
        let rows: Vec<(i32, i64, i64, Vec<u8>)> = sqlx::query_as(TAKE)
            .bind(&self.instance)
            .bind(self.lease.as_secs_f64())
            .bind(mine)
            .bind(dead)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.journal)
            .await?;
        rows.into_iter()
            .map(|(partition, epoch, seq, hash)| {
                Ok(Taken {
                    partition: Partition(partition),
                    epoch,
                    checkpoint: Mark {
                        seq,
                        hash: Hash::try_from(hash.as_slice())
                            .map_err(|error| sqlx::Error::Decode(error.into()))?,
                    },
                })
            })
            .collect()
    }

    /// Extends the leases that are still `mine` (partition → epoch) and returns them; the rest is lost.
    pub async fn renew(&self, mine: &BTreeMap<Partition, i64>) -> sqlx::Result<BTreeSet<Partition>> {
        if mine.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (partitions, epochs) = columns(mine);
        let kept: Vec<i32> = sqlx::query_scalar(RENEW)
            .bind(&self.instance)
            .bind(self.lease.as_secs_f64())
            .bind(partitions)
            .bind(epochs)
            .fetch_all(&self.journal)
            .await?;
        Ok(kept.into_iter().map(Partition).collect())
    }

    /// Writes checkpoints (partition, epoch, mark) and returns the partitions whose rows accepted them; the rest is
    /// lost.
    pub async fn save(&self, marks: &[(Partition, i64, Mark)]) -> sqlx::Result<BTreeSet<Partition>> {
        let saved: Vec<i32> = sqlx::query_scalar(SAVE)
            .bind(&self.instance)
            .bind(column(marks, |(p, _, _)| p.0))
            .bind(column(marks, |(_, epoch, _)| *epoch))
            .bind(column(marks, |(_, _, mark)| mark.seq))
            .bind(column(marks, |(_, _, mark)| mark.hash.0.to_vec()))
            .fetch_all(&self.journal)
            .await?;
        Ok(saved.into_iter().map(Partition).collect())
    }

    /// Releases `mine` at once, so that others can take them.
    pub async fn release(&self, mine: &BTreeMap<Partition, i64>) -> sqlx::Result<()> {
        let (partitions, epochs) = columns(mine);
        sqlx::query(RELEASE)
            .bind(&self.instance)
            .bind(partitions)
            .bind(epochs)
            .execute(&self.journal)
            .await?;
        Ok(())
    }

    /// This instance no longer counts as alive.
    pub async fn leave(&self) -> sqlx::Result<()> {
        sqlx::query(LEAVE)
            .bind(&self.instance)
            .execute(&self.journal)
            .await?;
        Ok(())
    }
}

fn columns(mine: &BTreeMap<Partition, i64>) -> (Vec<i32>, Vec<i64>) {
    mine.iter()
        .map(|(partition, epoch)| (partition.0, *epoch))
        .unzip()
}
