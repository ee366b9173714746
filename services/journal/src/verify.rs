//! Proof that the journal is whole: recomputes every hash, sees that sequences and versions have no gaps,
//! that each wallet's head and each hold is the fold of its events, and that personal data is what the events'
//! digests say. Reads in short statements; safe on a live system.

use std::collections::HashMap;

use sqlx::{PgPool, Row};
use uuid::Uuid;
use wallex_domain::{EventData, Hash, HoldId, HoldStatus, Partition, Wallet, WalletId};

use crate::{Event, personal, read};

/// Events read per statement.
const CHUNK: i64 = 2_000;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub partitions: usize,
    pub events: i64,
    pub wallets: usize,
    /// What is wrong, one line each; empty when all is well.
    pub problems: Vec<String>,
}

/// Checks all partitions up to the heads they have when the check comes to them.
pub async fn verify(db: &PgPool) -> Result<Report, sqlx::Error> {
    let mut report = Report::default();
    let partitions: Vec<Partition> = read::partitions(db)
        .await?
        .into_iter()
        .map(|head| head.id)
        .collect();
    for partition in partitions {
        verify_partition(db, partition, &mut report).await?;
        report.partitions += 1;
    }
    Ok(report)
}

async fn verify_partition(db: &PgPool, partition: Partition, report: &mut Report) -> Result<(), sqlx::Error> {
    // Partition row, wallet heads and holds of one snapshot, small beside the events.
    let mut snapshot = wallex_postgres::begin(db, SNAPSHOT).await?;
    let rows = sqlx::query(HEADS)
        .bind(partition.0)
        .fetch_all(&mut *snapshot)
        .await?;
    let hold_rows: Vec<(Uuid, i64, String)> = sqlx::query_as(HOLDS)
        .bind(partition.0)
        .fetch_all(&mut *snapshot)
        .await?;
    snapshot.commit().await?;
    let Some(first) = rows.first() else { return Ok(()) };
    let last_seq: i64 = first.try_get("last_seq")?;
    let head_hash = read::hash_column(first, "head_hash")?;

    let mut holds: HashMap<HoldId, (i64, HoldStatus)> = HashMap::new();
    let mut wallets: HashMap<WalletId, Wallet> = HashMap::new();
    let (mut seq, mut hash) = (0, Hash::GENESIS);
    while seq < last_seq {
        let events = read::events(db, partition, seq, CHUNK.min(last_seq - seq)).await?;
        if events.is_empty() {
            report.problems.push(format!(
                "{partition}:{} is missing, the head is at {last_seq}",
                seq + 1
            ));
            return Ok(());
        }
        verify_personal(db, &events, report).await?;
        for event in events {
            let at = event.position();
            if event.seq != seq + 1 {
                report
                    .problems
                    .push(format!("{partition}:{} is missing", seq + 1));
            }
            let mut chained = event.clone();
            chained.prev_hash = hash;
            if chained.compute_hash() != event.hash {
                report.problems.push(format!("{at} does not match its hash"));
            }
            let before = wallets.remove(&event.wallet_id);
            if event.version != before.as_ref().map_or(0, |wallet| wallet.version) + 1 {
                report.problems.push(format!(
                    "{at} is version {} of its wallet out of turn",
                    event.version
                ));
            }
            match event.decode() {
                Err(error) => report.problems.push(format!("{at}: {error}")),
                Ok(data) => match Wallet::evolve(before, event.wallet_id, &data) {
                    Some(after) if after.balance == data.balance() => {
                        wallets.insert(event.wallet_id, after);
                        if !fold_hold(&mut holds, &data) {
                            report
                                .problems
                                .push(format!("{at} does not follow from the hold's earlier events"));
                        }
                    }
                    _ => report
                        .problems
                        .push(format!("{at} does not follow from the wallet's earlier events")),
                },
            }
            (seq, hash) = (event.seq, event.hash);
            report.events += 1;
        }
    }
    if hash != head_hash {
        report.problems.push(format!(
            "partition {partition}'s head hash is not that of event {seq}"
        ));
    }
    for row in &rows {
        let Some(wallet_id) = row.try_get::<Option<uuid::Uuid>, _>("wallet_id")?.map(WalletId) else {
            continue;
        };
        report.wallets += 1;
        let head = wallets.get(&wallet_id).map(|wallet| {
            Ok::<_, sqlx::Error>(
                wallet.version == row.try_get::<i64, _>("version")?
                    && wallet.balance == row.try_get::<i64, _>("balance")?
                    && wallet.held == row.try_get::<i64, _>("held")?
                    && wallet.overdraft_limit == row.try_get::<i64, _>("overdraft_limit")?
                    && wallet.status.as_str() == row.try_get::<&str, _>("status")?
                    && wallet.currency.as_str() == row.try_get::<&str, _>("currency")?,
            )
        });
        if !head.transpose()?.unwrap_or(false) {
            report
                .problems
                .push(format!("wallet {wallet_id}'s head is not the fold of its events"));
        }
    }
    for (id, amount, status) in hold_rows {
        let folded = holds.remove(&HoldId(id));
        if folded.map(|(amount, status)| (amount, status.as_str())) != Some((amount, status.as_str())) {
            report
                .problems
                .push(format!("hold {id} is not the fold of its events"));
        }
    }
    for id in holds.into_keys() {
        report.problems.push(format!("hold {id} has events and no row"));
    }
    Ok(())
}

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const HEADS: &str = "SELECT p.last_seq, p.head_hash, h.wallet_id, h.version, h.balance, h.held, h.overdraft_limit, \
    h.status, h.currency FROM journal.partition p LEFT JOIN journal.head h ON h.partition = p.id WHERE p.id = $1";

const HOLDS: &str = "SELECT o.hold_id, o.amount, o.status FROM journal.hold o \
    JOIN journal.head h ON h.wallet_id = o.wallet_id WHERE h.partition = $1";

/// A hold is placed once, and ends once, by as much as was placed.
fn fold_hold(holds: &mut HashMap<HoldId, (i64, HoldStatus)>, event: &EventData) -> bool {
    let (Some(id), Some(status)) = (event.hold_id(), HoldStatus::after(event)) else {
        return true;
    };
    let change = event.held_change();
    match (holds.get(&id).copied(), status) {
        (None, HoldStatus::Open) => holds.insert(id, (change, status)).is_none(),
        (Some((amount, HoldStatus::Open)), ended) if ended != HoldStatus::Open && change == -amount => {
            holds.insert(id, (amount, ended)).is_some()
        }
        _ => false,
    }
}

/// Personal data may be gone; what is there is what the event's digest says.
async fn verify_personal(db: &PgPool, events: &[Event], report: &mut Report) -> Result<(), sqlx::Error> {
    let digests: HashMap<Uuid, (&Event, Option<Hash>)> = events
        .iter()
        .map(|event| {
            let digest = event.decode().ok().and_then(|data| data.personal());
            (event.event_id, (event, digest))
        })
        .collect();
    let ids: Vec<Uuid> = digests.keys().copied().collect();
    let rows: Vec<(Uuid, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT event_id, salt, data FROM journal.personal WHERE event_id = ANY($1)")
            .bind(ids)
            .fetch_all(db)
            .await?;
    for (event_id, salt, data) in rows {
        if let Some((event, digest)) = digests.get(&event_id)
            && *digest != Some(personal::digest(&salt, &data))
        {
            let at = event.position();
            report
                .problems
                .push(format!("{at}'s personal data is not what its digest says"));
        }
    }
    Ok(())
}
