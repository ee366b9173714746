//! Rows that no event accounts for, and events that no partition accounts for. One statement each: rows that are
//! written together are seen together.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::Partition;

use super::report::{Kind, Report};

// Jumps from one partition to the next through the primary key.
const FOREIGN_PARTITIONS: &str = "
WITH RECURSIVE used AS (
    SELECT min(partition) AS id FROM journal.event
    UNION ALL
    SELECT (SELECT min(e.partition) FROM journal.event e WHERE e.partition > used.id) FROM used
     WHERE used.id IS NOT NULL)
SELECT id FROM used WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM journal.partition)";

const FOREIGN_PUBLICATIONS: &str = "SELECT partition FROM journal.publication \
    WHERE partition NOT IN (SELECT id FROM journal.partition)";

const HEADS: &str = "
SELECT h.wallet_id FROM journal.head h
 WHERE NOT EXISTS (SELECT 1 FROM journal.event e WHERE e.wallet_id = h.wallet_id AND e.version = 1)
 LIMIT 1000";

const HOLDS: &str = "
SELECT o.hold_id FROM journal.hold o
 WHERE NOT EXISTS (SELECT 1 FROM journal.head h WHERE h.wallet_id = o.wallet_id) LIMIT 1000";

const DETAILS: &str = "
SELECT d.wallet_id FROM journal.details d
 WHERE NOT EXISTS (SELECT 1 FROM journal.head h WHERE h.wallet_id = d.wallet_id) LIMIT 1000";

const PERSONAL: &str = "
SELECT p.event_id FROM journal.personal p
 WHERE NOT EXISTS (SELECT 1 FROM journal.head h WHERE h.wallet_id = p.wallet_id) LIMIT 1000";

// A partition that is moved takes with it what says to be of it.
const HOLDS_ELSEWHERE: &str = "
SELECT o.hold_id FROM journal.hold o JOIN journal.head h ON h.wallet_id = o.wallet_id
 WHERE o.partition <> h.partition LIMIT 1000";

const PERSONAL_ELSEWHERE: &str = "
SELECT p.event_id FROM journal.personal p JOIN journal.head h ON h.wallet_id = p.wallet_id
 WHERE p.partition <> h.partition LIMIT 1000";

const REVERSED_ELSEWHERE: &str = "
SELECT r.transaction_id FROM journal.reversed r
 WHERE NOT EXISTS (SELECT 1 FROM journal.event e
                    WHERE e.transaction_id = r.transaction_id AND e.partition = r.partition)
   AND r.partition IS NOT NULL
 LIMIT 1000";

// A row here makes maintenance remove personal data.
const ERASURES: &str = "
SELECT r.wallet_id FROM journal.erasure r
 WHERE NOT EXISTS (SELECT 1 FROM journal.event e
                    WHERE e.wallet_id = r.wallet_id AND e.version = r.version AND e.event_id = r.event_id
                      AND e.type = 'wallet.personal_data_erased')
 LIMIT 1000";

/// What is looked for by id, and how each is reported.
type Looked = (Kind, &'static str, fn(Uuid) -> String);
const ROWS: [Looked; 8] = [
    (Kind::Wallet, HEADS, |id| {
        format!("wallet {id} has a head and no events")
    }),
    (Kind::Hold, HOLDS, |id| {
        format!("hold {id} is of a wallet that has no head")
    }),
    (Kind::Wallet, DETAILS, |id| {
        format!("wallet {id} has a row in journal.details and no head")
    }),
    (Kind::PersonalData, PERSONAL, |id| {
        format!("the personal data of event {id} is of a wallet that has no head")
    }),
    (Kind::Hold, HOLDS_ELSEWHERE, |id| {
        format!("hold {id} is kept for another partition than its wallet's")
    }),
    (Kind::PersonalData, PERSONAL_ELSEWHERE, |id| {
        format!("the personal data of event {id} is kept for another partition than its wallet's")
    }),
    (Kind::Reversal, REVERSED_ELSEWHERE, |id| {
        format!("journal.reversed keeps transaction {id} for a partition that has none of its events")
    }),
    (Kind::Erasure, ERASURES, |id| {
        format!("journal.erasure asks for an erasure of wallet {id} that no event decided")
    }),
];

pub(super) async fn look_for(
    db: &mut PgConnection,
    partitions: &[Partition],
    report: &mut Report,
) -> sqlx::Result<()> {
    let highest = partitions.iter().map(|partition| partition.0).max().unwrap_or(-1);
    report.add_each(
        Kind::Partition,
        (0..=highest).filter(|id| !partitions.contains(&Partition(*id))),
        |id| format!("partition {id} is missing: partitions are numbered from 0 without gaps"),
    );
    let foreign: Vec<i32> = sqlx::query_scalar(FOREIGN_PARTITIONS).fetch_all(&mut *db).await?;
    report.add_each(Kind::Partition, foreign, |id| {
        format!("partition {id} has events and no row in journal.partition")
    });
    let foreign: Vec<i32> = sqlx::query_scalar(FOREIGN_PUBLICATIONS)
        .fetch_all(&mut *db)
        .await?;
    report.add_each(Kind::Publication, foreign, |id| {
        format!("journal.publication has partition {id}, and journal.partition has not")
    });
    for (kind, rows, words) in ROWS {
        let ids: Vec<Uuid> = sqlx::query_scalar(rows).fetch_all(&mut *db).await?;
        report.add_each(kind, ids, words);
    }
    Ok(())
}
