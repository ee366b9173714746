//! Wallets in answers: now, at a time, and by page. The invariant: `available` is always
//! `balance` minus `held` of the same row.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_projections::read_model::read::wallets::{StateRow, WalletRow};

use super::{Metadata, Unreadable, metadata, position, rfc3339};

/// A wallet with its balance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wallet)]
pub(crate) struct WalletBody {
    id: Uuid,
    /// The caller's own id of the wallet.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// ISO 4217 code, or one that the platform configures.
    #[schema(example = "EUR")]
    currency: String,
    /// Minor units.
    balance: i64,
    /// Part of the balance that is set aside, in minor units.
    held: i64,
    /// What can be spent, in minor units: balance - held.
    available: i64,
    /// How far below zero `available` may go, in minor units.
    overdraft_limit: i64,
    /// Number of events of the wallet; also the ETag.
    pub(crate) version: i64,
    #[schema(value_type = wallex_domain::Status)]
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    created_at: String,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    updated_at: String,
    /// The last event of the wallet that the answer contains, PARTITION:SEQ.
    #[schema(example = "3:1042")]
    position: String,
    /// Present and true when an event of the wallet could not be projected: the answer is then as of the
    /// last event before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl TryFrom<WalletRow> for WalletBody {
    type Error = Unreadable;

    fn try_from(row: WalletRow) -> Result<Self, Unreadable> {
        Ok(Self {
            id: row.wallet_id,
            external_id: row.external_id,
            owner: row.owner,
            currency: row.currency,
            balance: row.balance,
            held: row.held,
            available: row.balance.saturating_sub(row.held),
            overdraft_limit: row.overdraft_limit,
            version: row.version,
            status: row.status,
            description: row.description,
            metadata: metadata(row.metadata),
            created_at: rfc3339("created_at", row.created_at)?,
            updated_at: rfc3339("updated_at", row.updated_at)?,
            position: position(row.partition, row.seq),
            stale: row.stale,
        })
    }
}

/// Wallets by their ids.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletPage)]
pub(crate) struct WalletPageBody {
    pub(crate) items: Vec<WalletBody>,
    /// Pass it as `cursor` to read on; null on the last page. Opaque: its form may change.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
}

/// A wallet's money as it was at a time: after the last event recorded at it or before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletAt)]
pub(crate) struct WalletAtBody {
    id: Uuid,
    /// The time asked for.
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    at: String,
    #[schema(example = "EUR")]
    currency: String,
    /// Minor units.
    balance: i64,
    /// Part of the balance that was set aside, in minor units.
    held: i64,
    /// What could be spent, in minor units: balance - held.
    available: i64,
    /// How far below zero `available` might go, in minor units.
    overdraft_limit: i64,
    /// Number of events of the wallet until then.
    version: i64,
    /// The last event of the wallet until then, PARTITION:SEQ.
    #[schema(example = "3:1042")]
    position: String,
    /// When that event was recorded.
    #[schema(format = DateTime, example = "2026-01-31T11:59:58.123456Z")]
    recorded_at: String,
    /// Present and true when an event of the wallet could not be projected: it and later ones are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl WalletAtBody {
    pub(crate) fn new(id: Uuid, at: i64, row: StateRow, stale: bool) -> Result<Self, Unreadable> {
        Ok(Self {
            id,
            at: rfc3339("at", at)?,
            currency: row.currency,
            balance: row.balance,
            held: row.held,
            available: row.balance.saturating_sub(row.held),
            overdraft_limit: row.overdraft_limit,
            version: row.version,
            position: position(row.partition, row.seq),
            recorded_at: rfc3339("recorded_at", row.recorded_at)?,
            stale,
        })
    }
}
