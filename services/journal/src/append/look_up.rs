//! The statements of step 0: where wallets live, and which wallets are behind holds and transactions. Outside the
//! locks.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;
use wallex_domain::{EventData, HoldId, Partition, Transaction, WalletId};

use super::statements::PLAN_SETTINGS;

/// What the journal says about the names in a batch.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) partitions: Vec<(WalletId, Partition)>,
    pub(super) holds: HashMap<HoldId, WalletId>,
    pub(super) transactions: HashMap<Uuid, Transaction>,
    /// Transactions that this build cannot read, and the wallets of their events.
    pub(super) unreadable: HashMap<Uuid, Vec<WalletId>>,
}

/// Step 0: what the journal says about these wallets, holds and transactions.
pub(super) async fn look_up(
    db: &mut PgConnection,
    wallets: &[WalletId],
    holds: &[HoldId],
    transactions: &[Uuid],
) -> Result<Found, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN READ ONLY; SELECT {PLAN_SETTINGS}")))
        .execute(&mut *db)
        .await?;
    let mut found = Found::default();
    if !wallets.is_empty() {
        let ids: Vec<Uuid> = wallets.iter().map(|id| id.0).collect();
        let rows: Vec<(Uuid, i32)> = sqlx::query_as(FIND_PARTITIONS)
            .bind(ids)
            .fetch_all(&mut *db)
            .await?;
        let rows = rows.into_iter();
        found
            .partitions
            .extend(rows.map(|(id, partition)| (WalletId(id), Partition(partition))));
    }
    if !holds.is_empty() {
        let ids: Vec<Uuid> = holds.iter().map(|id| id.0).collect();
        let rows: Vec<(Uuid, Uuid, i32)> = sqlx::query_as(FIND_HOLDS).bind(ids).fetch_all(&mut *db).await?;
        for (hold, wallet, partition) in rows {
            found.holds.insert(HoldId(hold), WalletId(wallet));
            found.partitions.push((WalletId(wallet), Partition(partition)));
        }
    }
    if !transactions.is_empty() {
        find_transactions(db, transactions, &mut found).await?;
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut *db).await?;
    Ok(found)
}

pub(super) const FIND_PARTITIONS: &str =
    "SELECT wallet_id, partition FROM journal.head WHERE wallet_id = ANY($1)";

pub(super) const FIND_HOLDS: &str = "SELECT o.hold_id, o.wallet_id, h.partition FROM journal.hold o \
    JOIN journal.head h ON h.wallet_id = o.wallet_id WHERE o.hold_id = ANY($1)";

pub(super) const FIND_TRANSACTIONS: &str = "SELECT transaction_id, wallet_id, partition, type, schema_version, payload \
    FROM journal.event WHERE transaction_id = ANY($1)";

async fn find_transactions(
    db: &mut PgConnection,
    ids: &[Uuid],
    found: &mut Found,
) -> Result<(), sqlx::Error> {
    type Row = (Uuid, Uuid, i32, String, i16, Vec<u8>);
    let rows: Vec<Row> = sqlx::query_as(FIND_TRANSACTIONS).bind(ids).fetch_all(db).await?;
    let mut events: HashMap<Uuid, Vec<(WalletId, EventData)>> = HashMap::new();
    for (id, wallet, partition, event_type, schema_version, payload) in rows {
        let wallet = WalletId(wallet);
        found.partitions.push((wallet, Partition(partition)));
        match EventData::decode(&event_type, schema_version, &payload) {
            Ok(data) => events.entry(id).or_default().push((wallet, data)),
            // It exists, so nobody must be told that it does not. Its own command fails; the rest of the batch
            // continues.
            Err(error) => {
                tracing::error!(%error, transaction = %id, "a transaction cannot be read");
                found.unreadable.entry(id).or_default().push(wallet);
            }
        }
    }
    // One of two events alone may mean something else than both.
    let transactions = events
        .into_iter()
        .filter(|(id, _)| !found.unreadable.contains_key(id));
    found.transactions = transactions
        .filter_map(|(id, events)| Some((id, Transaction::of(id, &events)?)))
        .collect();
    Ok(())
}
