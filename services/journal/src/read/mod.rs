//! Reads the journal: events in order and personal data here; heads of partitions, wallets and their trails in the
//! submodules. Only short statements by ranges of seq: a long snapshot would keep vacuum from the hot rows.

use std::collections::HashMap;

use sqlx::{PgExecutor, Row, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{Hash, Partition, PersonalData, WalletId};

use crate::{Event, personal};

pub mod positions;
pub mod trail;
pub mod wallet;

pub use positions::{PartitionHead, partitions};

/// Opens a transaction for these reads. A statement prepared while the tables were small would keep scanning and
/// sorting them as they grow. The settings are local to the transaction, so neither a role's defaults nor a pooler
/// change them.
pub const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
     SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL statement_timeout = '10s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// The columns of an event row, which [`event_from_row`] reads by name.
const EVENTS: &str = "SELECT event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version, \
     recorded_at, actor, traceparent, payload, hash FROM journal.event \
     WHERE partition = $1 AND seq >= $2 ORDER BY seq LIMIT $3";

pub(crate) fn hash_column(row: &PgRow, column: &str) -> sqlx::Result<Hash> {
    // Not borrowed: rows of an unprepared statement come as text.
    let bytes: Vec<u8> = row.try_get(column)?;
    Hash::try_from(&bytes[..]).map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    })
}

fn event_from_row(row: &PgRow, prev_hash: Hash) -> sqlx::Result<Event> {
    Ok(Event {
        event_id: row.try_get("event_id")?,
        transaction_id: row.try_get("transaction_id")?,
        partition: Partition(row.try_get("partition")?),
        seq: row.try_get("seq")?,
        wallet_id: WalletId(row.try_get("wallet_id")?),
        version: row.try_get("version")?,
        event_type: row.try_get("type")?,
        schema_version: row.try_get("schema_version")?,
        recorded_at: row.try_get("recorded_at")?,
        actor: row.try_get("actor")?,
        traceparent: row.try_get("traceparent")?,
        payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
        prev_hash,
        hash: hash_column(row, "hash")?,
    })
}

/// Up to `limit` events of a partition after `after_seq` (exclusive), in order, each with its predecessor's hash as the
/// journal has it.
pub async fn events(
    db: impl PgExecutor<'_>,
    partition: Partition,
    after_seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    // The event before the first one is read as well, for its hash.
    let rows = sqlx::query(EVENTS)
        .bind(partition.0)
        .bind(after_seq)
        .bind(limit + 1)
        .fetch_all(db)
        .await?;
    let mut events = Vec::with_capacity(rows.len());
    let mut prev_hash = Hash::GENESIS;
    for row in &rows {
        if row.try_get::<i64, _>("seq")? > after_seq {
            if events.len() as i64 == limit {
                break;
            }
            events.push(event_from_row(row, prev_hash)?);
        }
        prev_hash = hash_column(row, "hash")?;
    }
    Ok(events)
}

/// A row of personal data as it is in the journal.
#[derive(Debug)]
pub struct StoredPersonal {
    /// Computed from the stored data: equals the event's digest if nobody has changed the row.
    pub digest: Hash,
    pub data: Result<PersonalData, serde_json::Error>,
}

/// Rows of personal data by event, including unreadable ones.
pub async fn stored_personal(
    db: impl PgExecutor<'_>,
    event_ids: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, StoredPersonal>> {
    let rows: Vec<(Uuid, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT event_id, salt, data FROM journal.personal WHERE event_id = ANY($1)")
            .bind(event_ids)
            .fetch_all(db)
            .await?;
    let stored = |salt: &[u8], data: &[u8]| StoredPersonal {
        digest: personal::digest(salt, data),
        data: serde_json::from_slice(data),
    };
    Ok(rows
        .into_iter()
        .map(|(event_id, salt, data)| (event_id, stored(&salt, &data)))
        .collect())
}

/// Personal data by event; an event without a row has none, or its data was erased.
pub async fn personal(
    db: impl PgExecutor<'_>,
    event_ids: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, PersonalData>> {
    stored_personal(db, event_ids)
        .await?
        .into_iter()
        .map(|(event_id, stored)| match stored.data {
            Ok(personal) => Ok((event_id, personal)),
            Err(error) => Err(sqlx::Error::ColumnDecode {
                index: "data".to_owned(),
                source: Box::new(error),
            }),
        })
        .collect()
}
