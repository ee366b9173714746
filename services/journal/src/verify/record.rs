//! Events found by where they stand, without their link of the hash chain: what other rows and other events speak of.

use std::collections::HashMap;

use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;
use wallex_domain::{EventData, Partition, Position, WalletId};

const RECORDS: &str = "SELECT e.partition, e.seq, e.transaction_id, e.wallet_id, e.version, e.actor, e.recorded_at, \
    e.type, e.schema_version, e.payload FROM unnest($1::int[], $2::bigint[]) AS named (partition, seq) \
    JOIN journal.event e ON e.partition = named.partition AND e.seq = named.seq";

pub(super) struct Record {
    pub(super) transaction_id: Uuid,
    pub(super) wallet_id: WalletId,
    pub(super) version: i64,
    pub(super) actor: String,
    pub(super) recorded_at: i64,
    /// `None` when this build cannot read it.
    pub(super) data: Option<EventData>,
}

/// The events at `positions`; those that do not exist are missing.
pub(super) async fn at(
    db: impl PgExecutor<'_>,
    positions: &[Position],
) -> Result<HashMap<Position, Record>, sqlx::Error> {
    if positions.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(RECORDS)
        .bind(positions.iter().map(|at| at.partition.0).collect::<Vec<_>>())
        .bind(positions.iter().map(|at| at.seq).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    let mut records = HashMap::with_capacity(rows.len());
    for row in rows {
        let position = Position {
            partition: Partition(row.try_get("partition")?),
            seq: row.try_get("seq")?,
        };
        let payload: Vec<u8> = row.try_get("payload")?;
        let data = EventData::decode(row.try_get("type")?, row.try_get("schema_version")?, &payload);
        let record = Record {
            transaction_id: row.try_get("transaction_id")?,
            wallet_id: WalletId(row.try_get("wallet_id")?),
            version: row.try_get("version")?,
            actor: row.try_get("actor")?,
            recorded_at: row.try_get("recorded_at")?,
            data: data.ok(),
        };
        records.insert(position, record);
    }
    Ok(records)
}
