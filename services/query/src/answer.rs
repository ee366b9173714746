//! The bodies of the answers, made from rows. Money stays in integer minor units; times become RFC 3339
//! in UTC with microseconds. The invariant: a row that this build cannot express is an error, never a guess.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::{Partition, Position};

use crate::statement::{EntryRow, WalletRow};

/// A row of the read model that has no meaning in this build; the text says which column and value.
#[derive(Debug, thiserror::Error)]
#[error("the read model holds {column} = {value}, which this version cannot express")]
pub(crate) struct Unreadable {
    column: &'static str,
    value: String,
}

fn unreadable(column: &'static str, value: &impl ToString) -> Unreadable {
    Unreadable {
        column,
        value: value.to_string(),
    }
}

/// Microseconds since 1970 as RFC 3339, always with six digits: equal times are equal strings.
fn rfc3339(column: &'static str, microseconds: i64) -> Result<String, Unreadable> {
    let at = Timestamp::from_microsecond(microseconds).map_err(|_| unreadable(column, &microseconds))?;
    Ok(format!("{at:.6}"))
}

fn metadata(text: Option<String>) -> Result<Option<Map<String, Value>>, Unreadable> {
    text.map(|text| serde_json::from_str(&text).map_err(|_| unreadable("metadata", &"no JSON object")))
        .transpose()
}

fn position(partition: i32, seq: i64) -> String {
    Position {
        partition: Partition(partition),
        seq,
    }
    .to_string()
}

/// A wallet as the read model knows it.
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
    #[schema(example = "active")]
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    #[schema(example = "2026-01-31T12:00:00.000000Z")]
    created_at: String,
    #[schema(example = "2026-01-31T12:00:00.000000Z")]
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
            metadata: metadata(row.metadata)?,
            created_at: rfc3339("created_at", row.created_at)?,
            updated_at: rfc3339("updated_at", row.updated_at)?,
            position: position(row.partition, row.seq),
            stale: row.stale,
        })
    }
}

/// What one event did to a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryType {
    Create,
    Credit,
    Debit,
    TransferOut,
    TransferIn,
}

impl EntryType {
    fn parse(name: &str) -> Result<Self, Unreadable> {
        match name {
            "create" => Ok(Self::Create),
            "credit" => Ok(Self::Credit),
            "debit" => Ok(Self::Debit),
            "transfer_out" => Ok(Self::TransferOut),
            "transfer_in" => Ok(Self::TransferIn),
            other => Err(unreadable("type", &other)),
        }
    }

    fn direction(self) -> Direction {
        match self {
            Self::Create | Self::Credit | Self::TransferIn => Direction::In,
            Self::Debit | Self::TransferOut => Direction::Out,
        }
    }
}

/// Which way the money went, seen from the wallet.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    In,
    Out,
}

/// One line of a wallet's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entry)]
pub(crate) struct EntryBody {
    transaction_id: Uuid,
    event_id: Uuid,
    #[serde(rename = "type")]
    kind: EntryType,
    /// Minor units, never negative; `direction` says which way.
    #[schema(minimum = 0)]
    amount: u64,
    direction: Direction,
    #[schema(example = "EUR")]
    currency: String,
    /// The wallet's balance after the event, in minor units.
    balance_after: i64,
    /// The wallet's version after the event; histories are ordered by it.
    pub(crate) version: i64,
    /// The other wallet of a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    counterparty: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    #[schema(example = "2026-01-31T12:00:00.000000Z")]
    recorded_at: String,
    /// Where the event stands in the journal, PARTITION:SEQ.
    #[schema(example = "3:1042")]
    position: String,
}

impl TryFrom<EntryRow> for EntryBody {
    type Error = Unreadable;

    fn try_from(row: EntryRow) -> Result<Self, Unreadable> {
        let kind = EntryType::parse(&row.kind)?;
        Ok(Self {
            transaction_id: row.transaction_id,
            event_id: row.event_id,
            kind,
            amount: row.amount.unsigned_abs(),
            direction: kind.direction(),
            currency: row.currency,
            balance_after: row.balance_after,
            version: row.version,
            counterparty: row.counterparty,
            reference: row.reference,
            description: row.description,
            metadata: metadata(row.metadata)?,
            recorded_at: rfc3339("recorded_at", row.recorded_at)?,
            position: position(row.partition, row.seq),
        })
    }
}

/// A page of a wallet's history, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EntryPage)]
pub(crate) struct PageBody {
    pub(crate) items: Vec<EntryBody>,
    /// Pass it as `cursor` to read on; null on the last page. Opaque: its form may change.
    pub(crate) next_cursor: Option<String>,
    /// Present and true when an event of the wallet could not be projected: it and later ones are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stale: bool,
}

/// What a transaction is, seen from outside any wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TransactionType {
    Create,
    Credit,
    Debit,
    Transfer,
}

impl TransactionType {
    fn of(entry: EntryType) -> Self {
        match entry {
            EntryType::Create => Self::Create,
            EntryType::Credit => Self::Credit,
            EntryType::Debit => Self::Debit,
            EntryType::TransferOut | EntryType::TransferIn => Self::Transfer,
        }
    }

    /// How many wallets it touches, each with one entry.
    fn legs(self) -> usize {
        match self {
            Self::Create | Self::Credit | Self::Debit => 1,
            Self::Transfer => 2,
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

/// One command that moved money, with what it did to each wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(crate) struct TransactionBody {
    id: Uuid,
    #[serde(rename = "type")]
    kind: TransactionType,
    /// Minor units, never negative.
    #[schema(minimum = 0)]
    amount: u64,
    #[schema(example = "EUR")]
    currency: String,
    /// False while a transfer's other leg has not reached the read model. Both legs are committed
    /// together; only reading them may lag.
    complete: bool,
    #[schema(example = "2026-01-31T12:00:00.000000Z")]
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The leg that money left comes first.
    entries: Vec<LegBody>,
    /// Present and true when an event of one of its wallets could not be projected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl TransactionBody {
    /// The transaction that `rows` are the entries of; `None` when there are none.
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
        entries.sort_by_key(|leg| (leg.entry.kind, leg.wallet_id));
        let Some(first) = entries.first() else {
            return Ok(None);
        };
        let kind = TransactionType::of(first.entry.kind);
        Ok(Some(Self {
            id,
            kind,
            amount: first.entry.amount,
            currency: first.entry.currency.clone(),
            complete: entries.len() >= kind.legs(),
            recorded_at: first.entry.recorded_at.clone(),
            reference: first.entry.reference.clone(),
            stale,
            entries,
        }))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn times_always_have_six_digits() {
        assert_eq!(rfc3339("t", 0).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            rfc3339("t", 1_769_860_800_000_001).unwrap(),
            "2026-01-31T12:00:00.000001Z"
        );
        assert!(rfc3339("t", i64::MAX).is_err());
    }

    #[test]
    fn an_unknown_entry_type_is_refused() {
        assert!(EntryType::parse("wallet.created").is_err());
    }
}
