//! The cursor of a projection in a partition: how far its rows can be compared, and whether the journal still has the
//! event at the cursor. A journal that was truncated or rewritten does not.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, PgConnection};
use wallex_domain::{Hash, Partition};
use wallex_journal::verify::{CHUNK, Kind, Report};
use wallex_journal::{check, read};

use crate::projection::Projected;
use crate::registry::Name;

/// What has been compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// Events that the projection has applied.
    pub events: i64,
    /// Events of the journal that it had yet to apply when it was checked.
    pub behind: i64,
}

/// The connections of a check: one to the journal, one to the read side. Never returned to their pools, so that no
/// transaction is left open on them.
pub(crate) struct Sides {
    pub(crate) journal: PgConnection,
    pub(crate) read: PgConnection,
}

/// How far a projection's rows can be compared, and what it has skipped.
pub(crate) struct Reach {
    /// Inclusive.
    pub(crate) seq: i64,
    pub(crate) parked: HashSet<i64>,
}

impl Reach {
    /// Some applied events after `seq` (exclusive), without personal data, and up to which seq (inclusive) they are
    /// complete. Those that cannot be decoded are left out: the journal's own check reports them.
    pub(crate) async fn next(
        &self,
        journal: &mut PgConnection,
        partition: Partition,
        seq: i64,
    ) -> sqlx::Result<(Vec<Projected>, i64)> {
        let to = self.seq.min(seq + CHUNK);
        let events = read::events(journal, partition, seq, CHUNK).await?.into_iter();
        let events = events.filter(|event| event.seq <= to && !self.parked.contains(&event.seq));
        let applied = events.filter_map(|event| {
            let data = event.decode().ok()?;
            Some(Projected {
                event,
                data,
                personal: None,
            })
        });
        Ok((applied.collect(), to))
    }
}

/// What is wrong with a row.
pub(crate) fn missing_or(is_missing: bool, otherwise: &'static str) -> &'static str {
    if is_missing { "is missing" } else { otherwise }
}

/// The cursor's seq; `None` when there is no cursor.
pub(crate) async fn seq(
    projection: Name,
    read: &mut PgConnection,
    partition: Partition,
) -> sqlx::Result<Option<i64>> {
    Ok(cursor(projection, read, partition).await?.map(|(seq, _)| seq))
}

async fn cursor(
    projection: Name,
    read: &mut PgConnection,
    partition: Partition,
) -> sqlx::Result<Option<(i64, Vec<u8>)>> {
    let schema = projection.schema().name;
    let statement = format!("SELECT seq, hash FROM {schema}.cursor WHERE partition = $1");
    sqlx::query_as(AssertSqlSafe(statement))
        .bind(partition.0)
        .fetch_optional(read)
        .await
}

/// Checks the cursor against the journal. The cursor is read first, so the journal may be ahead of it, never behind.
pub(crate) async fn reach(
    projection: Name,
    sides: &mut Sides,
    partition: Partition,
    compared: &mut Compared,
    report: &mut Report,
) -> sqlx::Result<Reach> {
    let cursor = cursor(projection, &mut sides.read, partition).await?;
    let (name, kind) = (projection.noun(), Kind::Cursor(projection.noun()));
    if cursor.is_none() {
        report.add(kind, || {
            format!("the {name} has no cursor of partition {partition}")
        });
    }
    let (seq, hash) = cursor.unwrap_or_else(|| (0, Hash::GENESIS.0.to_vec()));
    let journal = check::head(&mut sides.journal, partition, seq).await?;
    let (last_seq, known) = journal.unwrap_or_default();
    let known = known.unwrap_or_else(|| Hash::GENESIS.0.to_vec());
    if seq > last_seq {
        report.add(kind, || {
            format!("the {name} has applied {partition}:{seq}, and the journal ends at {last_seq}")
        });
    } else if known != hash {
        report.add(kind, || {
            format!("the {name} has applied {partition}:{seq} with another hash than the journal has")
        });
    }
    compared.events += seq.min(last_seq);
    compared.behind += last_seq.saturating_sub(seq).max(0);
    Ok(Reach {
        seq: seq.min(last_seq),
        parked: parked(projection, &mut sides.read, partition, report).await?,
    })
}

async fn parked(
    projection: Name,
    read: &mut PgConnection,
    partition: Partition,
    report: &mut Report,
) -> sqlx::Result<HashSet<i64>> {
    let schema = projection.schema().name;
    let statement = format!("SELECT seq FROM {schema}.parked WHERE partition = $1");
    let parked: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(partition.0)
        .fetch_all(read)
        .await?;
    report.add_each(Kind::Parked, &parked, |seq| {
        format!("{partition}:{seq} is parked in the {}", projection.noun())
    });
    Ok(parked.into_iter().collect())
}

/// Cursors of partitions that the journal does not have.
pub(super) async fn look_for_strays(
    read: &mut PgConnection,
    partitions: &[Partition],
    report: &mut Report,
) -> sqlx::Result<()> {
    for projection in Name::ALL {
        let (name, schema) = (projection.noun(), projection.schema().name);
        let statement =
            format!("SELECT partition FROM {schema}.cursor WHERE partition <> ALL ($1) ORDER BY partition");
        let known: Vec<i32> = partitions.iter().map(|partition| partition.0).collect();
        let strays: Vec<i32> = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(known)
            .fetch_all(&mut *read)
            .await?;
        report.add_each(Kind::Cursor(name), strays, |partition| {
            format!("the {name} has a cursor of partition {partition}, which the journal does not have")
        });
    }
    Ok(())
}
