//! Reads the journal: events in order and personal data here; heads of partitions, wallets and their trails in the
//! submodules. Only short statements by ranges of seq: a long snapshot would keep vacuum from the hot rows.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgExecutor, Row, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{Hash, Partition, PersonalData, WalletId};
use wallex_postgres::column;

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

/// A page of each of several partitions, with the columns that [`event_from_row`] reads by name. The rows of one
/// partition may come in any order.
pub const PAGES: &str = "SELECT event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version, \
     recorded_at, actor, traceparent, payload, hash \
     FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS page (of, first, size) \
     CROSS JOIN LATERAL (SELECT * FROM journal.event \
         WHERE partition = page.of AND seq >= page.first ORDER BY seq LIMIT page.size) AS event";

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

/// Events of one partition, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub partition: Partition,
    /// The page begins after this seq (exclusive).
    pub after_seq: i64,
    /// Most events.
    pub limit: i64,
}

/// Up to `limit` events of a partition after `after_seq` (exclusive), in order, each with its predecessor's hash as the
/// journal has it.
pub async fn events(
    db: impl PgExecutor<'_>,
    partition: Partition,
    after_seq: i64,
    limit: i64,
) -> sqlx::Result<Vec<Event>> {
    let page = Page {
        partition,
        after_seq,
        limit,
    };
    let mut events = pages(db, &[page]).await?;
    Ok(events.remove(&partition).unwrap_or_default())
}

/// The events of several pages, each of another partition, by one statement. Partitions without such events are missing.
pub async fn pages(db: impl PgExecutor<'_>, pages: &[Page]) -> sqlx::Result<BTreeMap<Partition, Vec<Event>>> {
    let rows = sqlx::query(PAGES)
        .bind(column(pages, |page| page.partition.0))
        // The event before the first one is read as well, for its hash.
        .bind(column(pages, |page| page.after_seq))
        .bind(column(pages, |page| page.limit + 1))
        .fetch_all(db)
        .await?;
    let mut found: BTreeMap<Partition, Vec<(i64, &PgRow)>> = BTreeMap::new();
    for row in &rows {
        let partition = Partition(row.try_get("partition")?);
        found
            .entry(partition)
            .or_default()
            .push((row.try_get("seq")?, row));
    }
    let mut events = BTreeMap::new();
    for page in pages {
        let mut rows = found.remove(&page.partition).unwrap_or_default();
        // As a rule they are in order already. A hash of the wrong predecessor would look like a damaged journal.
        rows.sort_unstable_by_key(|(seq, _)| *seq);
        let page = page_from_rows(page, &rows)?;
        if let Some(first) = page.first() {
            events.insert(first.partition, page);
        }
    }
    Ok(events)
}

fn page_from_rows(page: &Page, rows: &[(i64, &PgRow)]) -> sqlx::Result<Vec<Event>> {
    let mut events = Vec::with_capacity(rows.len());
    let mut prev_hash = Hash::GENESIS;
    for (seq, row) in rows {
        if *seq > page.after_seq {
            if events.len() as i64 == page.limit {
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
