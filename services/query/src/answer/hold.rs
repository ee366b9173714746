//! Holds in answers. The invariant: the status is the one that the journal has recorded; a hold past its time is `open`
//! until its end is an event, although it can no longer be captured.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::HoldStatus;
use wallex_projections::read_model::read::holds::HoldRow;

use super::{Name, Unreadable, rfc3339};

/// Money set aside.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hold)]
pub(crate) struct HoldBody {
    id: Uuid,
    wallet_id: Uuid,
    /// What was set aside, in minor units.
    #[schema(minimum = 1)]
    amount: i64,
    /// What was taken of it in the end, in minor units; the rest became available again.
    #[schema(minimum = 0)]
    captured: i64,
    #[schema(example = "EUR")]
    currency: String,
    /// A hold whose time is over is open until its end is recorded, although it
    /// cannot be captured any more.
    #[schema(value_type = HoldStatus, example = "open")]
    status: Name<&'static str>,
    /// From then on it cannot be captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, example = "2026-02-07T12:00:00.000000Z")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The wallet's version when the hold was placed; lists are ordered by it.
    pub(crate) version: i64,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    updated_at: String,
    /// Present and true when an event of the wallet could not be projected: the hold may have ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl TryFrom<HoldRow> for HoldBody {
    type Error = Unreadable;

    fn try_from(row: HoldRow) -> Result<Self, Unreadable> {
        let known = |text: &str| HoldStatus::parse(text).map(HoldStatus::as_str);
        Ok(Self {
            id: row.hold_id,
            wallet_id: row.wallet_id,
            amount: row.amount,
            captured: row.captured,
            currency: row.currency,
            status: Name::of("status", row.status, known),
            expires_at: row
                .expires_at
                .map(|expires_at| rfc3339("expires_at", expires_at))
                .transpose()?,
            reference: row.reference,
            version: row.version,
            created_at: rfc3339("created_at", row.created_at)?,
            updated_at: rfc3339("updated_at", row.updated_at)?,
            stale: row.stale,
        })
    }
}

/// A page of a wallet's holds, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HoldPage)]
pub(crate) struct HoldPageBody {
    pub(crate) items: Vec<HoldBody>,
    /// Pass it as `cursor` to read on; null on the last page. Opaque: its form may change.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
}
