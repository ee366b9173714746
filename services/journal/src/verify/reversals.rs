//! `journal.reversed` against the events: the sum that decides how much of a transaction can still be reversed. Emptied
//! or lowered, it would let money be taken back twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventData, Partition, Transaction, WalletId};

use super::report::{Kind, Report};
use super::{CHUNK, begin};
use crate::read;

const SUMS: &str = "SELECT transaction_id, amount FROM journal.reversed WHERE transaction_id = ANY($1)";

const EVENTS: &str = "SELECT transaction_id, wallet_id, type, schema_version, payload FROM journal.event \
    WHERE transaction_id = ANY($1)";

pub const ROWS: &str = "SELECT transaction_id FROM journal.reversed WHERE transaction_id >= $1 \
    ORDER BY transaction_id LIMIT $2";

/// Reversed transactions of all partitions, and how far each partition was walked.
#[derive(Default)]
pub(super) struct Known {
    transactions: HashSet<Uuid>,
    walked_to: BTreeMap<Partition, i64>,
}

/// Runs in the snapshot that the walk has caught up with.
pub(super) async fn compare(
    db: &mut PgConnection,
    (partition, seq): (Partition, i64),
    folded: HashMap<Uuid, i64>,
    known: &mut Known,
    report: &mut Report,
) -> sqlx::Result<()> {
    known.walked_to.insert(partition, seq);
    known.transactions.extend(folded.keys());
    let folded: Vec<(Uuid, i64)> = folded.into_iter().collect();
    for sums in folded.chunks(CHUNK as usize) {
        let ids: Vec<Uuid> = sums.iter().map(|(id, _)| *id).collect();
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(SUMS).bind(&ids).fetch_all(&mut *db).await?;
        let rows: HashMap<Uuid, i64> = rows.into_iter().collect();
        let movable = movable(db, &ids).await?;
        for (id, sum) in sums {
            match rows.get(id) {
                None => report.add(Kind::Reversal, || {
                    format!("{sum} of transaction {id} was taken back and journal.reversed has no row of it")
                }),
                Some(row) if row != sum => report.add(Kind::Reversal, || {
                    format!("{sum} of transaction {id} was taken back and journal.reversed says {row}")
                }),
                Some(_) => {}
            }
            let most = movable.get(id).copied().unwrap_or(0);
            if *sum > most {
                report.add(Kind::Reversal, || {
                    format!("{sum} of transaction {id} was taken back, which moved {most}")
                });
            }
        }
    }
    Ok(())
}

/// What each transaction moved, as far as it can be reversed.
async fn movable(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, i64>> {
    let rows: Vec<(Uuid, Uuid, String, i16, Vec<u8>)> =
        sqlx::query_as(EVENTS).bind(ids).fetch_all(&mut *db).await?;
    let mut events: HashMap<Uuid, Vec<(WalletId, EventData)>> = HashMap::new();
    for (transaction_id, wallet_id, event_type, schema_version, payload) in rows {
        if let Ok(data) = EventData::decode(&event_type, schema_version, &payload) {
            let of = events.entry(transaction_id).or_default();
            of.push((WalletId(wallet_id), data));
        }
    }
    let moved = |(id, events): (Uuid, Vec<_>)| {
        let moves = Transaction::of(id, &events)?.movement?;
        Some((id, moves.amount))
    };
    Ok(events.into_iter().filter_map(moved).collect())
}

/// Rows of `journal.reversed` that no reversal accounts for.
pub(super) async fn look_for_strays(
    db: &mut PgConnection,
    known: &Known,
    report: &mut Report,
) -> sqlx::Result<()> {
    let mut from = Uuid::nil();
    loop {
        let mut page = begin(&mut *db, read::BEGIN).await?;
        let rows: Vec<Uuid> = sqlx::query_scalar(ROWS)
            .bind(from)
            .bind(CHUNK)
            .fetch_all(&mut *page)
            .await?;
        page.commit().await?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = Uuid::from_u128(last.as_u128().saturating_add(1));
        let unknown = rows.into_iter().filter(|id| !known.transactions.contains(id));
        let mut unknown: HashSet<Uuid> = unknown.collect();
        if unknown.is_empty() {
            continue;
        }
        forget_newer(db, known, &mut unknown).await?;
        report.add_each(Kind::Reversal, unknown, |id| {
            format!("journal.reversed has a row of transaction {id}, of which nothing was taken back")
        });
    }
}

/// Removes those that were reversed after their partition was walked.
async fn forget_newer(db: &mut PgConnection, known: &Known, unknown: &mut HashSet<Uuid>) -> sqlx::Result<()> {
    for (partition, walked_to) in &known.walked_to {
        let mut seq = *walked_to;
        loop {
            let events = read::events(&mut *db, *partition, seq, CHUNK).await?;
            let Some(last) = events.last() else { break };
            seq = last.seq;
            for data in events.iter().filter_map(|event| event.decode().ok()) {
                if let Some((id, _)) = data.effect().takes_back() {
                    unknown.remove(&id);
                }
            }
        }
    }
    Ok(())
}
