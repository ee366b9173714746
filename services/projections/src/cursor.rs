//! The cursors of a projection, and the rows for what it had to park, in its own schema.
//!
//! The invariant: they are written only in the transaction that writes the projection's rows. What readers learn from
//! them holds for their own snapshot.

use std::collections::{BTreeMap, HashSet};

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, SqlSafeStr, SqlStr};
use uuid::Uuid;
use wallex_domain::{Mark, Partition, WalletId};
use wallex_journal::{Event, Hash};
use wallex_postgres::column;

use crate::registry::Name;

/// How far a partition is projected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub cursor: Mark,
    /// Rows up to this seq existed and were removed: until the cursor reaches it again, the partition is being
    /// refilled.
    pub refill_to: i64,
}

impl Standing {
    pub fn is_refilling(&self) -> bool {
        self.cursor.seq < self.refill_to
    }
}

/// An event that cannot be applied, and why.
#[derive(Debug, Clone)]
pub struct Parked {
    pub event: Event,
    pub why: Why,
    /// For people.
    pub reason: String,
}

wallex_domain::words! {
    /// Label of the metric.
    pub enum Why {
        /// Its hash does not match its content and its predecessor.
        HashChainBroken = "HashChainBroken",
        /// Its content cannot be read.
        Unreadable = "Unreadable",
        /// An earlier event of its wallet is parked.
        AfterParked = "AfterParked",
    }
}

/// Up to which seq (inclusive) each partition is projected. One row per partition, 256 at most: read whole.
pub async fn levels(db: impl PgExecutor<'_>, projection: Name) -> sqlx::Result<Vec<(i32, i64)>> {
    let levels = format!("SELECT partition, seq FROM {}.cursor", projection.schema().name);
    sqlx::query_as(AssertSqlSafe(levels)).fetch_all(db).await
}

/// Whether removed rows are being filled in again, so that a missing row proves nothing.
pub async fn is_being_filled(db: impl PgExecutor<'_>, projection: Name) -> sqlx::Result<bool> {
    let schema = projection.schema().name;
    let filling = format!("SELECT EXISTS (SELECT 1 FROM {schema}.cursor WHERE seq < refill_to)");
    sqlx::query_scalar(AssertSqlSafe(filling)).fetch_one(db).await
}

/// How many wallets have events that the projection could not apply.
pub async fn count_parked_wallets(db: impl PgExecutor<'_>, projection: Name) -> sqlx::Result<i64> {
    let schema = projection.schema().name;
    let count = format!("SELECT count(DISTINCT wallet_id) FROM {schema}.parked");
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(db).await
}

/// Creates missing cursors of `$1`.
pub(crate) fn insert_statement(schema: &str) -> String {
    format!(
        "INSERT INTO {schema}.cursor (partition, seq, hash)
         SELECT id, 0, decode(repeat('00', 32), 'hex') FROM unnest($1::int[]) id
         ON CONFLICT (partition) DO NOTHING"
    )
}

/// Sets the cursors of `$1` back to before the first event, to be refilled up to `$2`.
pub(crate) fn restart_statement(schema: &str) -> String {
    format!(
        "INSERT INTO {schema}.cursor (partition, seq, hash, refill_to)
         SELECT id, 0, decode(repeat('00', 32), 'hex'), refill_to
           FROM unnest($1::int[], $2::bigint[]) AS new (id, refill_to)
         ON CONFLICT (partition) DO UPDATE
            SET seq = excluded.seq, hash = excluded.hash, refill_to = excluded.refill_to"
    )
}

/// The statements on one schema's cursors.
pub struct Cursors {
    insert: SqlStr,
    restart: SqlStr,
    refill: SqlStr,
    lock: SqlStr,
    read: SqlStr,
    update: SqlStr,
    parked_wallets: SqlStr,
    park: SqlStr,
}

/// What [`Cursors::lock`] found.
pub struct Locked {
    pub cursors: BTreeMap<Partition, Mark>,
    /// Something is parked; otherwise there is no need to look.
    pub any_parked: bool,
}

impl Cursors {
    pub fn of(schema: &'static str) -> Self {
        let sql = |text: String| AssertSqlSafe(text).into_sql_str();
        Self {
            insert: sql(insert_statement(schema)),
            restart: sql(restart_statement(schema)),
            refill: sql(format!("UPDATE {schema}.cursor SET refill_to = $2 WHERE partition = $1")),
            lock: sql(format!(
                "SELECT partition, seq, hash, refill_to, EXISTS (SELECT 1 FROM {schema}.parked) FROM {schema}.cursor
                  WHERE partition = ANY ($1) ORDER BY partition FOR UPDATE"
            )),
            read: sql(format!(
                "SELECT partition, seq, hash, refill_to, false FROM {schema}.cursor WHERE partition = ANY ($1)"
            )),
            update: sql(format!(
                "UPDATE {schema}.cursor c SET seq = new.seq, hash = new.hash
                   FROM unnest($1::int[], $2::bigint[], $3::bytea[]) AS new (partition, seq, hash)
                  WHERE c.partition = new.partition"
            )),
            parked_wallets: sql(format!(
                "SELECT DISTINCT wallet_id FROM {schema}.parked WHERE wallet_id = ANY ($1)"
            )),
            park: sql(format!(
                "INSERT INTO {schema}.parked (partition, seq, wallet_id, reason, transaction_id)
                 SELECT * FROM unnest($1::int[], $2::bigint[], $3::uuid[], $4::text[], $5::uuid[])"
            )),
        }
    }

    pub async fn create(&self, db: &mut PgConnection, partitions: &[Partition]) -> sqlx::Result<()> {
        sqlx::query(self.insert.clone())
            .bind(ids(partitions))
            .execute(db)
            .await?;
        Ok(())
    }

    /// Sets a partition back to before its first event, to be refilled up to `refill_to`.
    pub async fn restart(
        &self,
        db: &mut PgConnection,
        partition: Partition,
        refill_to: i64,
    ) -> sqlx::Result<()> {
        sqlx::query(self.restart.clone())
            .bind(vec![partition.0])
            .bind(vec![refill_to])
            .execute(db)
            .await?;
        Ok(())
    }

    /// Records up to which seq the partition must be refilled.
    pub async fn refill(
        &self,
        db: &mut PgConnection,
        partition: Partition,
        refill_to: i64,
    ) -> sqlx::Result<()> {
        sqlx::query(self.refill.clone())
            .bind(partition.0)
            .bind(refill_to)
            .execute(db)
            .await?;
        Ok(())
    }

    /// The current cursors, for information only: unlocked, so nothing may be decided on them.
    pub async fn read(
        &self,
        db: &mut PgConnection,
        partitions: &[Partition],
    ) -> sqlx::Result<BTreeMap<Partition, Standing>> {
        Ok(fetch(self.read.clone(), db, partitions).await?.0)
    }

    /// Locks the cursors, in ascending order, until the transaction ends.
    pub async fn lock(&self, db: &mut PgConnection, partitions: &[Partition]) -> sqlx::Result<Locked> {
        let (standings, any_parked) = fetch(self.lock.clone(), db, partitions).await?;
        let cursors = standings.into_iter();
        Ok(Locked {
            cursors: cursors.map(|(partition, at)| (partition, at.cursor)).collect(),
            any_parked,
        })
    }

    /// Moves locked cursors.
    pub async fn update(
        &self,
        db: &mut PgConnection,
        cursors: &BTreeMap<Partition, Mark>,
    ) -> sqlx::Result<()> {
        sqlx::query(self.update.clone())
            .bind(column(cursors.keys(), |partition| partition.0))
            .bind(column(cursors.values(), |cursor| cursor.seq))
            .bind(column(cursors.values(), |cursor| cursor.hash.0.to_vec()))
            .execute(db)
            .await?;
        Ok(())
    }

    /// Those of the wallets that have a parked event.
    pub async fn parked_wallets(
        &self,
        db: &mut PgConnection,
        wallets: Vec<Uuid>,
    ) -> sqlx::Result<HashSet<WalletId>> {
        let parked: Vec<Uuid> = sqlx::query_scalar(self.parked_wallets.clone())
            .bind(wallets)
            .fetch_all(db)
            .await?;
        Ok(parked.into_iter().map(WalletId).collect())
    }

    pub async fn park(&self, db: &mut PgConnection, parked: &[Parked]) -> sqlx::Result<()> {
        sqlx::query(self.park.clone())
            .bind(column(parked, |p| p.event.partition.0))
            .bind(column(parked, |p| p.event.seq))
            .bind(column(parked, |p| p.event.wallet_id.0))
            .bind(column(parked, |p| p.reason.as_str()))
            .bind(column(parked, |p| p.event.transaction_id))
            .execute(db)
            .await?;
        Ok(())
    }
}

fn ids(partitions: &[Partition]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.0).collect()
}

/// How far the partitions are projected, and whether anything is parked.
async fn fetch(
    statement: SqlStr,
    db: &mut PgConnection,
    partitions: &[Partition],
) -> sqlx::Result<(BTreeMap<Partition, Standing>, bool)> {
    let rows: Vec<(i32, i64, Vec<u8>, i64, bool)> = sqlx::query_as(statement)
        .bind(ids(partitions))
        .fetch_all(db)
        .await?;
    let mut standings = BTreeMap::new();
    let mut parked = false;
    for (partition, seq, hash, refill_to, any_parked) in rows {
        let hash = Hash::try_from(hash.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let cursor = Mark { seq, hash };
        standings.insert(Partition(partition), Standing { cursor, refill_to });
        parked |= any_parked;
    }
    Ok((standings, parked))
}
