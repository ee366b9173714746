//! Events found by position or by transaction, without their link in the hash chain: those that other rows and other
//! events refer to.

use std::collections::HashMap;

use sqlx::{PgExecutor, Row as _, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{EventData, Position, WalletId};
use wallex_postgres::column;

const AT: &str = "SELECT e.partition, e.seq, e.event_id, e.transaction_id, e.wallet_id, e.version, e.actor, e.recorded_at, \
    e.type, e.schema_version, e.payload FROM unnest($1::int[], $2::bigint[]) AS named (partition, seq) \
    JOIN journal.event e ON e.partition = named.partition AND e.seq = named.seq";

const OF: &str = "SELECT partition, seq, event_id, transaction_id, wallet_id, version, actor, recorded_at, \
    type, schema_version, payload FROM journal.event WHERE transaction_id = ANY($1)";

pub(super) struct Record {
    pub(super) position: Position,
    pub(super) event_id: Uuid,
    pub(super) transaction_id: Uuid,
    pub(super) wallet_id: WalletId,
    pub(super) version: i64,
    pub(super) actor: String,
    pub(super) recorded_at: i64,
    /// `None` when this build cannot read it.
    pub(super) data: Option<EventData>,
}

impl Record {
    /// Whether it belongs to a named movement.
    pub(super) fn is_named(&self) -> bool {
        let data = self.data.as_ref();
        data.is_some_and(|data| data.movement_id().is_some())
    }
}

/// The events at `positions`; those that do not exist are missing.
pub(super) async fn at(
    db: impl PgExecutor<'_>,
    positions: &[Position],
) -> sqlx::Result<HashMap<Position, Record>> {
    if positions.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(AT)
        .bind(column(positions, |at| at.partition.0))
        .bind(column(positions, |at| at.seq))
        .fetch_all(db)
        .await?;
    let records = rows.iter().map(from_row);
    records
        .map(|record| record.map(|record| (record.position, record)))
        .collect()
}

/// The events of `transactions`; those that do not exist are missing.
pub(super) async fn of(db: impl PgExecutor<'_>, transactions: &[Uuid]) -> sqlx::Result<Vec<Record>> {
    let rows = sqlx::query(OF).bind(transactions).fetch_all(db).await?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &PgRow) -> sqlx::Result<Record> {
    let payload: Vec<u8> = row.try_get("payload")?;
    let data = EventData::decode(row.try_get("type")?, row.try_get("schema_version")?, &payload);
    Ok(Record {
        position: Position::at(row.try_get("partition")?, row.try_get("seq")?),
        event_id: row.try_get("event_id")?,
        transaction_id: row.try_get("transaction_id")?,
        wallet_id: WalletId(row.try_get("wallet_id")?),
        version: row.try_get("version")?,
        actor: row.try_get("actor")?,
        recorded_at: row.try_get("recorded_at")?,
        data: data.ok(),
    })
}
