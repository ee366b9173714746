//! Transactions in answers: what one command did, to one wallet or two. The invariant: `complete` says
//! whether every wallet that an entry names has its entry here too.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Direction, EntryType};
use wallex_projections::read_model::read::history::EntryRow;

use super::{EntryBody, Name, Unreadable};

/// What a transaction is, seen from outside any wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TransactionType {
    Create,
    Credit,
    Debit,
    Transfer,
    Hold,
    Capture,
    Release,
    Expire,
    Extend,
    Reversal,
    Freeze,
    Unfreeze,
    Close,
    OverdraftLimit,
    Change,
    Erase,
}

impl TransactionType {
    /// Determined by the first entry.
    fn of(entry: EntryType) -> Self {
        match entry {
            EntryType::Create => Self::Create,
            EntryType::Credit => Self::Credit,
            EntryType::Debit => Self::Debit,
            EntryType::TransferOut | EntryType::TransferIn => Self::Transfer,
            EntryType::Hold => Self::Hold,
            EntryType::Capture => Self::Capture,
            EntryType::Release => Self::Release,
            EntryType::Expire => Self::Expire,
            EntryType::Extend => Self::Extend,
            EntryType::ReversalOut | EntryType::ReversalIn => Self::Reversal,
            EntryType::Freeze => Self::Freeze,
            EntryType::Unfreeze => Self::Unfreeze,
            EntryType::Close => Self::Close,
            EntryType::OverdraftLimit => Self::OverdraftLimit,
            EntryType::Change => Self::Change,
            EntryType::Erase => Self::Erase,
        }
    }
}

/// An entry, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TransactionEntry)]
pub(crate) struct LegBody {
    wallet_id: Uuid,
    #[serde(flatten)]
    entry: EntryBody,
}

/// What one command did to each wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(crate) struct TransactionBody {
    id: Uuid,
    /// Of a capture into another wallet, whose receiving entry alone has reached the read model, it is transfer until
    /// the answer is complete.
    #[serde(rename = "type")]
    #[schema(value_type = TransactionType)]
    kind: Name<TransactionType>,
    /// Minor units, never negative.
    #[schema(minimum = 0)]
    amount: u64,
    #[schema(example = "EUR")]
    currency: String,
    /// False while the other entry of a movement between two wallets has not reached the read model. Both are
    /// committed together; only reading them may lag.
    complete: bool,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The caller's own name of the movement, unique in the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    /// The one that money left comes first.
    entries: Vec<LegBody>,
    /// Present and true when an event of one of its wallets could not be projected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// Transactions by their external id: one or none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TransactionPage)]
pub(crate) struct TransactionPageBody {
    pub(crate) items: Vec<TransactionBody>,
    /// As in other lists; always null.
    #[schema(required = true)]
    pub(crate) next_cursor: Option<String>,
}

impl TransactionBody {
    /// The transaction whose entries are `rows`; `None` when there are none.
    pub(crate) fn of(id: Uuid, rows: Vec<EntryRow>) -> Result<Option<Self>, Unreadable> {
        let stale = rows.iter().any(|row| row.stale);
        let mut entries = rows
            .into_iter()
            .map(|row| {
                Ok(LegBody {
                    wallet_id: row.wallet_id,
                    entry: row.try_into()?,
                })
            })
            .collect::<Result<Vec<_>, Unreadable>>()?;
        entries.sort_by_key(|leg| (rank(leg.entry.direction), leg.wallet_id, leg.entry.version));
        let Some(first) = entries.first() else {
            return Ok(None);
        };
        let is_here = |wallet: Uuid| entries.iter().any(|leg| leg.wallet_id == wallet);
        Ok(Some(Self {
            id,
            kind: match &first.entry.kind {
                Name::Known(kind) => Name::Known(TransactionType::of(*kind)),
                Name::Unknown(text) => Name::Unknown(text.clone()),
            },
            amount: first.entry.amount,
            currency: first.entry.currency.clone(),
            complete: entries
                .iter()
                .all(|leg| leg.entry.counterparty.is_none_or(is_here)),
            recorded_at: first.entry.recorded_at.clone(),
            reference: first.entry.reference.clone(),
            external_id: first.entry.external_id.clone(),
            stale,
            entries,
        }))
    }
}

fn rank(direction: Direction) -> u8 {
    match direction {
        Direction::Out => 0,
        Direction::In => 1,
        Direction::None => 2,
    }
}
