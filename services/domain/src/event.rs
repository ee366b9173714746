//! What happened to a wallet. The type stands in the journal's envelope, the payload is JSON and is kept
//! for ever as it was written: old versions are read through the upcaster chain in [`EventData::decode`].

use serde::{Deserialize, Serialize};

use crate::{Currency, Hash, Position, WalletId};

/// The payload of `wallet.created`. Amounts are minor units, in all payloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    pub currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// 0 when the wallet starts empty.
    pub initial_balance: i64,
    /// The wallet's balance after the event, as in all payloads.
    pub balance: i64,
    /// Salted digest of the erasable data beside the event, as in all payloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `wallet.credited` and `wallet.debited`: money from outside, or to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub amount: i64,
    pub currency: Currency,
    pub balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `transfer.debited` and `transfer.credited`: each leg names the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferLeg {
    pub amount: i64,
    pub currency: Currency,
    pub balance: i64,
    pub counterparty: WalletId,
    /// Where this leg stands in the journal.
    pub position: Position,
    /// Where the other leg stands.
    pub counterparty_position: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// What happened to one wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventData {
    WalletCreated(Created),
    WalletCredited(Moved),
    WalletDebited(Moved),
    TransferDebited(TransferLeg),
    TransferCredited(TransferLeg),
}

/// The types of events, by the name they have in the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    WalletCreated,
    WalletCredited,
    WalletDebited,
    TransferDebited,
    TransferCredited,
}

impl EventKind {
    pub const ALL: [Self; 5] = [
        Self::WalletCreated,
        Self::WalletCredited,
        Self::WalletDebited,
        Self::TransferDebited,
        Self::TransferCredited,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::WalletCreated => "wallet.created",
            Self::WalletCredited => "wallet.credited",
            Self::WalletDebited => "wallet.debited",
            Self::TransferDebited => "transfer.debited",
            Self::TransferCredited => "transfer.credited",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The newest payload version of this type; what is written.
    pub fn schema_version(self) -> i16 {
        match self {
            Self::WalletCreated
            | Self::WalletCredited
            | Self::WalletDebited
            | Self::TransferDebited
            | Self::TransferCredited => 1,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer release: wait for the upgrade, never skip.
    #[error("event type {event_type} version {schema_version} needs a newer version of Wallex")]
    NeedsNewerVersion { event_type: String, schema_version: i16 },
    #[error("payload of {event_type} version {schema_version} is corrupt: {reason}")]
    Corrupt {
        event_type: String,
        schema_version: i16,
        reason: String,
    },
}

impl EventData {
    pub fn kind(&self) -> EventKind {
        match self {
            Self::WalletCreated(_) => EventKind::WalletCreated,
            Self::WalletCredited(_) => EventKind::WalletCredited,
            Self::WalletDebited(_) => EventKind::WalletDebited,
            Self::TransferDebited(_) => EventKind::TransferDebited,
            Self::TransferCredited(_) => EventKind::TransferCredited,
        }
    }

    pub fn event_type(&self) -> &'static str {
        self.kind().as_str()
    }

    pub fn schema_version(&self) -> i16 {
        self.kind().schema_version()
    }

    pub fn currency(&self) -> Currency {
        match self {
            Self::WalletCreated(created) => created.currency,
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => moved.currency,
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => leg.currency,
        }
    }

    /// The wallet's balance after the event.
    pub fn balance(&self) -> i64 {
        match self {
            Self::WalletCreated(created) => created.balance,
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => moved.balance,
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => leg.balance,
        }
    }

    /// Change of the balance in minor units: positive in, negative out.
    pub fn balance_change(&self) -> i64 {
        match self {
            Self::WalletCreated(created) => created.initial_balance,
            Self::WalletCredited(moved) => moved.amount,
            Self::WalletDebited(moved) => -moved.amount,
            Self::TransferCredited(leg) => leg.amount,
            Self::TransferDebited(leg) => -leg.amount,
        }
    }

    /// Digest of the erasable data beside the event, when it has any.
    pub fn personal(&self) -> Option<Hash> {
        match self {
            Self::WalletCreated(created) => created.personal,
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => moved.personal,
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => leg.personal,
        }
    }

    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::WalletCreated(_) => None,
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => moved.reference.as_deref(),
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => leg.reference.as_deref(),
        }
    }

    /// The other wallet of a transfer.
    pub fn counterparty(&self) -> Option<WalletId> {
        match self {
            Self::WalletCreated(_) | Self::WalletCredited(_) | Self::WalletDebited(_) => None,
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => Some(leg.counterparty),
        }
    }

    /// The payload bytes that are hashed and stored.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::WalletCreated(created) => serde_json::to_vec(created),
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => serde_json::to_vec(moved),
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => serde_json::to_vec(leg),
        }
    }

    /// Reads a stored payload of any version this build knows. A later version that changes a payload
    /// gets an upcaster here, from each version to the next; what was written is never rewritten.
    pub fn decode(event_type: &str, schema_version: i16, payload: &[u8]) -> Result<Self, DecodeError> {
        let kind = EventKind::parse(event_type).filter(|kind| schema_version <= kind.schema_version());
        let Some(kind) = kind else {
            return Err(DecodeError::NeedsNewerVersion {
                event_type: event_type.to_owned(),
                schema_version,
            });
        };
        let read = match kind {
            EventKind::WalletCreated => serde_json::from_slice(payload).map(Self::WalletCreated),
            EventKind::WalletCredited => serde_json::from_slice(payload).map(Self::WalletCredited),
            EventKind::WalletDebited => serde_json::from_slice(payload).map(Self::WalletDebited),
            EventKind::TransferDebited => serde_json::from_slice(payload).map(Self::TransferDebited),
            EventKind::TransferCredited => serde_json::from_slice(payload).map(Self::TransferCredited),
        };
        read.map_err(|error| DecodeError::Corrupt {
            event_type: event_type.to_owned(),
            schema_version,
            reason: error.to_string(),
        })
    }
}

/// What may have to be forgotten, kept in a row beside the event that carries only its salted digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PersonalData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

impl PersonalData {
    pub fn is_empty(&self) -> bool {
        self.owner.is_none() && self.description.is_none() && self.metadata.is_none()
    }
}
