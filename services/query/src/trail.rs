//! The audit trail: a wallet's events as the journal keeps them, each with everything needed to verify it by
//! docs/journal.md without this program. Reads only the schema `journal`, never a projection.
//!
//! The invariant: what was hashed is returned as it was hashed. Nothing is decoded, upcast or rounded on the way,
//! and an event that no build can read is still shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_journal::read::trail::{self, RecordedEvent};
use wallex_runtime::http::{Id, Problem};

use crate::answer::{Unreadable, position, rfc3339};
use crate::extract::MinPosition;
use crate::parameters::Parameters;
use crate::problem::ReadError;
use crate::routes::{NO_STORE, bodies, cut, end};
use crate::state::QueryState;

/// An event of the journal. `hash` is BLAKE3 over `prev_hash` and the fields in the layout of docs/journal.md.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalEvent)]
pub(crate) struct EventBody {
    event_id: Uuid,
    transaction_id: Uuid,
    wallet_id: Uuid,
    partition: i32,
    /// 1, 2, 3, … within the partition, without gaps.
    seq: i64,
    /// PARTITION:SEQ.
    #[schema(example = "3:1042")]
    position: String,
    /// 1, 2, 3, … within the wallet, without gaps.
    version: i64,
    #[serde(rename = "type")]
    #[schema(example = "wallet.credited")]
    kind: String,
    schema_version: i16,
    /// Hashed as microseconds since 1970, which the six digits give exactly.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    recorded_at: String,
    actor: String,
    /// W3C trace context of the request; not hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// The exact text that was hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = r#"{"amount":250,"currency":"EUR","balance":9750}"#)]
    payload: Option<String>,
    /// Instead of `payload` when that is no UTF-8: its bytes in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    /// The payload as JSON, for reading; null when it is none.
    #[schema(value_type = Option<Object>, required = true)]
    data: Option<Value>,
    personal: PersonalBody,
    /// Hash of the event before it in the partition; zeros for seq 1, null when the journal lacks that event.
    #[schema(required = true)]
    prev_hash: Option<String>,
    hash: String,
}

/// Owner, description and metadata, which can be erased: the event carries only `digest`, BLAKE3(salt ‖ data).
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = JournalPersonalData)]
pub(crate) enum PersonalBody {
    /// The event never had any.
    Absent,
    Present {
        /// 64 hexadecimal digits; null when the payload cannot be read.
        #[schema(required = true)]
        digest: Option<String>,
        /// 32 hexadecimal digits.
        salt: String,
        /// The exact text that `digest` covers.
        data: String,
    },
    /// Gone for good; only the digest stays.
    Erased { digest: String },
}

/// A wallet's events, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalEventPage)]
pub(crate) struct EventPageBody {
    items: Vec<EventBody>,
    /// Pass it as `after_version` to read on; null on the last page.
    #[schema(required = true)]
    next_after_version: Option<i64>,
}

impl TryFrom<RecordedEvent> for EventBody {
    type Error = Unreadable;

    fn try_from(row: RecordedEvent) -> Result<Self, Unreadable> {
        let data: Option<Value> = serde_json::from_slice(&row.payload).ok();
        let digest = data
            .as_ref()
            .and_then(|data| data.get("personal")?.as_str())
            .map(str::to_owned);
        let personal = match (row.salt, row.data, digest) {
            (Some(salt), Some(data), digest) => PersonalBody::Present {
                digest,
                salt: hexadecimal(&salt),
                // The journal writes JSON; other bytes would not match the digest either way.
                data: String::from_utf8_lossy(&data).into_owned(),
            },
            (_, _, Some(digest)) => PersonalBody::Erased { digest },
            (_, _, None) => PersonalBody::Absent,
        };
        let prev_hash = match row.prev_hash {
            Some(hash) => Some(hexadecimal(&hash)),
            None if row.seq == 1 => Some(wallex_domain::Hash::GENESIS.to_string()),
            None => None,
        };
        let (payload, payload_hex) = match String::from_utf8(row.payload) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(hexadecimal(error.as_bytes()))),
        };
        Ok(Self {
            event_id: row.event_id,
            transaction_id: row.transaction_id,
            wallet_id: row.wallet_id,
            partition: row.partition,
            seq: row.seq,
            position: position(row.partition, row.seq),
            version: row.version,
            kind: row.kind,
            schema_version: row.schema_version,
            recorded_at: rfc3339("recorded_at", row.recorded_at)?,
            actor: row.actor,
            traceparent: row.traceparent,
            payload,
            payload_hex,
            data,
            personal,
            prev_hash,
            hash: hexadecimal(&row.hash),
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a page of the trail begins (exclusive), and its length.
pub(crate) struct TrailPage {
    after_version: i64,
    limit: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for TrailPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(parts, state, &["after_version", "limit"]).await?;
        let page = Self {
            after_version: parameters.number("after_version", 0, i64::MAX).unwrap_or(0),
            limit: parameters.limit(),
        };
        parameters.finish(Some(page))
    }
}

/// Reads a wallet's events as the journal keeps them, oldest first: the audit trail.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}/events",
    tag = "wallets",
    operation_id = "listWalletEvents",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("after_version" = Option<u64>, Query, description = "Only events after this version of the wallet", minimum = 0),
        ("limit" = Option<u16>, Query, description = "Events on the page, 50 by default", minimum = 1, maximum = 200),
        ("Wallex-Min-Position" = Option<String>, Header, description = "The journal contains every position that a write has returned; others are refused", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "A page of events", body = EventPageBody),
    )
)]
pub(crate) async fn events(
    State(state): State<Arc<QueryState>>,
    id: Id,
    page: TrailPage,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let id = id.uuid();
    let mut snapshot = state.journal.snapshot_by(trail::BEGIN, &wanted).await?;
    // One more than the page shows whether there is a next page.
    let mut rows = trail::events(&mut *snapshot, id, page.after_version, page.limit + 1).await?;
    let exists = !rows.is_empty() || trail::exists(&mut *snapshot, id).await?;
    if !exists {
        return Err(ReadError::WalletUnknown(id));
    }
    end(snapshot).await?;
    let next_after_version = cut(&mut rows, page.limit).map(|last| last.version);
    let body = EventPageBody {
        items: bodies(rows)?,
        next_after_version,
    };
    Ok(([NO_STORE], Json(body)).into_response())
}
