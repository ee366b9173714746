//! The audit trail: a wallet's events as they are in the journal, each with what is needed to check it.
//!
//! The invariant: nothing is decoded, so even an event that no build can read is shown.

use sqlx::PgExecutor;
use uuid::Uuid;

/// A snapshot. A hash or merge join would read more of the journal than the page.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL statement_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '5s'; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// Events by (wallet_id, version), the hash before each by (partition, seq), personal data by event. Data that a
/// decided erasure is still removing is no longer shown.
pub const EVENTS: &str = "SELECT event.event_id, event.transaction_id, event.wallet_id, event.partition, event.seq, \
       event.version, event.type AS kind, event.schema_version, event.recorded_at, event.actor, event.traceparent, \
       event.payload, event.hash, before.hash AS prev_hash, personal.salt, personal.data \
     FROM journal.event \
     LEFT JOIN journal.event before ON before.partition = event.partition AND before.seq = event.seq - 1 \
     LEFT JOIN journal.personal ON personal.event_id = event.event_id AND NOT EXISTS \
       (SELECT 1 FROM journal.erasure WHERE erasure.wallet_id = $1 AND erasure.version >= event.version) \
     WHERE event.wallet_id = $1 AND event.version > $2 ORDER BY event.version LIMIT $3";

pub const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM journal.head WHERE wallet_id = $1)";

#[derive(sqlx::FromRow)]
pub struct RecordedEvent {
    pub event_id: Uuid,
    pub transaction_id: Uuid,
    pub wallet_id: Uuid,
    pub partition: i32,
    pub seq: i64,
    pub version: i64,
    pub kind: String,
    pub schema_version: i16,
    pub recorded_at: i64,
    pub actor: String,
    pub traceparent: Option<String>,
    pub payload: Vec<u8>,
    pub hash: Vec<u8>,
    pub prev_hash: Option<Vec<u8>>,
    pub salt: Option<Vec<u8>>,
    pub data: Option<Vec<u8>>,
}

/// A wallet's events after a version (exclusive), oldest first.
pub async fn events(
    db: impl PgExecutor<'_>,
    wallet_id: Uuid,
    after_version: i64,
    limit: i64,
) -> sqlx::Result<Vec<RecordedEvent>> {
    sqlx::query_as(EVENTS)
        .bind(wallet_id)
        .bind(after_version)
        .bind(limit)
        .fetch_all(db)
        .await
}

pub async fn exists(db: impl PgExecutor<'_>, wallet_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(EXISTS).bind(wallet_id).fetch_one(db).await
}
