//! Entries of a wallet's history in answers and exports. The invariant: amounts are never negative, `direction` says
//! which way the balance went, and what does not apply to an entry is left out.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Direction, EntryType};
use wallex_projections::read_model::read::history::EntryRow;

use super::{Metadata, Name, Unreadable, metadata, position, rfc3339};
use crate::export::{Cell, Record};

/// One line of a wallet's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletEntry)]
pub(crate) struct EntryBody {
    pub(super) transaction_id: Uuid,
    event_id: Uuid,
    #[serde(rename = "type")]
    #[schema(value_type = EntryType)]
    pub(super) kind: Name<EntryType>,
    /// Minor units, never negative: what moved; of a hold, what was set aside or given back; the new limit of
    /// overdraft_limit; otherwise 0. `direction` says which way.
    #[schema(minimum = 0)]
    pub(super) amount: u64,
    pub(super) direction: Direction,
    #[schema(example = "EUR")]
    pub(super) currency: String,
    /// The wallet's balance after the event, in minor units.
    pub(crate) balance_after: i64,
    /// Signed change of what holds have set aside, in minor units; left out when there is none.
    #[serde(skip_serializing_if = "is_zero")]
    held_change: i64,
    /// What holds have set aside after the event, in minor units; left out when nothing was and is.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_after: Option<i64>,
    /// The new limit, of overdraft_limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    overdraft_limit: Option<i64>,
    /// The wallet's version after the event; histories are ordered by it.
    pub(crate) version: i64,
    /// The other wallet of a movement between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counterparty: Option<Uuid>,
    /// The hold that was placed, extended or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    /// The transaction that a reversal takes back, as a whole or in part.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverses: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    /// The caller's own name of the movement, unique in the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Metadata>,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    pub(super) recorded_at: String,
    /// Where the event stands in the journal, PARTITION:SEQ.
    #[schema(example = "3:1042")]
    position: String,
}

fn is_zero(change: &i64) -> bool {
    *change == 0
}

impl TryFrom<EntryRow> for EntryBody {
    type Error = Unreadable;

    fn try_from(row: EntryRow) -> Result<Self, Unreadable> {
        let kind = Name::of("type", row.kind, EntryType::parse);
        let direction = match (&kind, row.amount.signum()) {
            (Name::Known(kind), _) => kind.direction(),
            (Name::Unknown(_), 1) => Direction::In,
            (Name::Unknown(_), -1) => Direction::Out,
            (Name::Unknown(_), _) => Direction::None,
        };
        let amount = match (row.amount, row.held_change) {
            (0, 0) => row.overdraft_limit.unwrap_or(0),
            (0, held_change) => held_change,
            (amount, _) => amount,
        };
        Ok(Self {
            transaction_id: row.transaction_id,
            event_id: row.event_id,
            kind,
            amount: amount.unsigned_abs(),
            direction,
            currency: row.currency,
            balance_after: row.balance_after,
            held_change: row.held_change,
            held_after: (row.held_change != 0 || row.held_after != 0).then_some(row.held_after),
            overdraft_limit: row.overdraft_limit,
            version: row.version,
            counterparty: row.counterparty,
            hold_id: row.hold_id,
            reverses: row.reverses,
            reference: row.reference,
            external_id: row.external_id,
            description: row.description,
            metadata: metadata(row.metadata),
            recorded_at: rfc3339("recorded_at", row.recorded_at)?,
            position: position(row.partition, row.seq),
        })
    }
}

impl Record for EntryBody {
    fn columns() -> Vec<&'static str> {
        vec![
            "version",
            "recorded_at",
            "type",
            "direction",
            "amount",
            "currency",
            "balance_after",
            "held_change",
            "held_after",
            "overdraft_limit",
            "counterparty",
            "reference",
            "description",
            "metadata",
            "transaction_id",
            "hold_id",
            "reverses",
            "event_id",
            "position",
            "external_id",
        ]
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::plain(self.version),
            Cell::plain(&self.recorded_at),
            match &self.kind {
                Name::Known(kind) => Cell::plain(kind.as_str()),
                Name::Unknown(text) => Cell::text(Some(text)),
            },
            Cell::plain(self.direction.as_str()),
            Cell::plain(self.amount),
            Cell::plain(&self.currency),
            Cell::plain(self.balance_after),
            Cell::plain(self.held_change),
            Cell::plain(self.held_after.unwrap_or(0)),
            Cell::plain_or_empty(self.overdraft_limit),
            Cell::plain_or_empty(self.counterparty),
            Cell::text(self.reference.as_deref()),
            Cell::text(self.description.as_deref()),
            Cell::json(self.metadata.as_ref()),
            Cell::plain(self.transaction_id),
            Cell::plain_or_empty(self.hold_id),
            Cell::plain_or_empty(self.reverses),
            Cell::plain(self.event_id),
            Cell::plain(&self.position),
            Cell::text(self.external_id.as_deref()),
        ]
    }
}

/// A page of a wallet's history, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WalletEntryPage)]
pub(crate) struct PageBody {
    pub(crate) items: Vec<EntryBody>,
    /// Pass it as `cursor` to read on; null on the last page. Opaque: its form may change.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
    /// Present and true when an event of the wallet could not be projected: it and later ones are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stale: bool,
}
