//! Proof that the journal is whole: recomputes every hash, sees that sequences and versions have no gaps,
//! and that each wallet's head is the fold of its events. Reads in short statements; safe on a live system.

use std::collections::HashMap;

use sqlx::{PgPool, Row};
use wallex_domain::{Hash, Partition, Wallet, WalletId};

use crate::read;

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
    // Partition row and wallet heads of one snapshot: one statement, small beside the events.
    let rows = sqlx::query(
        "SELECT p.last_seq, p.head_hash, h.wallet_id, h.version, h.balance \
         FROM journal.partition p LEFT JOIN journal.head h ON h.partition = p.id WHERE p.id = $1",
    )
    .bind(partition.0)
    .fetch_all(db)
    .await?;
    let Some(first) = rows.first() else { return Ok(()) };
    let last_seq: i64 = first.try_get("last_seq")?;
    let head_hash = read::hash_column(first, "head_hash")?;

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
        let head: (i64, i64) = (row.try_get("version")?, row.try_get("balance")?);
        if wallets
            .get(&wallet_id)
            .map(|wallet| (wallet.version, wallet.balance))
            != Some(head)
        {
            report
                .problems
                .push(format!("wallet {wallet_id}'s head is not the fold of its events"));
        }
    }
    Ok(())
}
