//! What happened to a wallet. The type is in the journal's envelope. The payload is JSON and kept for ever as it was
//! written: old versions are read through the upcaster chain in [`EventData::decode`].

use serde::{Deserialize, Serialize};

use uuid::Uuid;

use crate::{Currency, Details, Hash, HoldId, Position, WalletId};

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
    /// The caller's own name for the movement, unique in the platform; the same on both legs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
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
    /// This leg's position in the journal.
    pub position: Position,
    /// The other leg's position.
    pub counterparty_position: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform; the same on both legs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

impl TransferLeg {
    pub fn other(&self) -> OtherLeg {
        OtherLeg {
            wallet_id: self.counterparty,
            position: self.counterparty_position,
        }
    }
}

/// The payload of `hold.placed`: money set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPlaced {
    pub hold_id: HoldId,
    pub amount: i64,
    pub currency: Currency,
    pub balance: i64,
    /// Microseconds since 1970 (UTC); from then on the hold cannot be captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `hold.captured`: `amount` leaves the wallet, `released` becomes available again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldCaptured {
    pub hold_id: HoldId,
    pub amount: i64,
    pub released: i64,
    pub currency: Currency,
    pub balance: i64,
    /// The wallet that gets the amount; `None` is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherLeg>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform; the same on both legs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `hold.released` and `hold.expired`: the whole hold becomes available again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldEnded {
    pub hold_id: HoldId,
    pub amount: i64,
    pub currency: Currency,
    pub balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `hold.extended`: the hold lasts longer; no money moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldExtended {
    pub hold_id: HoldId,
    /// Microseconds since 1970 (UTC); later than before.
    pub expires_at: i64,
    pub currency: Currency,
    pub balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `reversal.debited` and `reversal.credited`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReversalLeg {
    /// The transaction that is taken back, in whole or in part.
    pub reverses: Uuid,
    pub amount: i64,
    pub currency: Currency,
    pub balance: i64,
    /// The wallet on the other side; `None` is outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherLeg>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform; the same on both legs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The other leg of a movement between wallets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherLeg {
    pub wallet_id: WalletId,
    pub position: Position,
}

/// The payload of `wallet.overdraft_limit_set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverdraftLimitSet {
    /// How far below zero the available balance may go.
    pub overdraft_limit: i64,
    pub currency: Currency,
    pub balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of `wallet.changed`. The new values of `details` are beside the event; a detail without a value there is
/// removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailsChanged {
    pub details: Details,
    pub currency: Currency,
    pub balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The payload of events whose type says everything: `wallet.frozen`, `wallet.unfrozen`, `wallet.closed`,
/// `wallet.personal_data_erased`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    pub currency: Currency,
    pub balance: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Hash>,
}

/// The one list of event types: variant, payload, type in the envelope, newest payload version.
macro_rules! events {
    ($($variant:ident($payload:ident), $name:literal, $version:literal;)+) => {
        /// What happened to one wallet.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum EventData {
            $($variant($payload),)+
        }

        /// The types of events, by their names in the envelope.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($variant,)+
        }

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The newest payload version of this type: the one that is written.
            pub fn schema_version(self) -> i16 {
                match self {
                    $(Self::$variant => $version,)+
                }
            }

            fn read(self, payload: &[u8]) -> Result<EventData, serde_json::Error> {
                match self {
                    $(Self::$variant => serde_json::from_slice(payload).map(EventData::$variant),)+
                }
            }
        }

        impl EventData {
            pub fn kind(&self) -> EventKind {
                match self {
                    $(Self::$variant(_) => EventKind::$variant,)+
                }
            }

            pub fn currency(&self) -> Currency {
                match self {
                    $(Self::$variant(payload) => payload.currency,)+
                }
            }

            /// The wallet's balance after the event.
            pub fn balance(&self) -> i64 {
                match self {
                    $(Self::$variant(payload) => payload.balance,)+
                }
            }

            /// Digest of the erasable data beside the event, if it has any.
            pub fn personal(&self) -> Option<Hash> {
                match self {
                    $(Self::$variant(payload) => payload.personal,)+
                }
            }

            /// The payload bytes that are hashed and stored.
            pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
                match self {
                    $(Self::$variant(payload) => serde_json::to_vec(payload),)+
                }
            }
        }
    };
}

events! {
    WalletCreated(Created), "wallet.created", 1;
    WalletCredited(Moved), "wallet.credited", 1;
    WalletDebited(Moved), "wallet.debited", 1;
    TransferDebited(TransferLeg), "transfer.debited", 1;
    TransferCredited(TransferLeg), "transfer.credited", 1;
    HoldPlaced(HoldPlaced), "hold.placed", 1;
    HoldCaptured(HoldCaptured), "hold.captured", 1;
    HoldReleased(HoldEnded), "hold.released", 1;
    HoldExpired(HoldEnded), "hold.expired", 1;
    HoldExtended(HoldExtended), "hold.extended", 1;
    ReversalDebited(ReversalLeg), "reversal.debited", 1;
    ReversalCredited(ReversalLeg), "reversal.credited", 1;
    WalletFrozen(Changed), "wallet.frozen", 1;
    WalletUnfrozen(Changed), "wallet.unfrozen", 1;
    WalletClosed(Changed), "wallet.closed", 1;
    OverdraftLimitSet(OverdraftLimitSet), "wallet.overdraft_limit_set", 1;
    WalletChanged(DetailsChanged), "wallet.changed", 1;
    PersonalDataErased(Changed), "wallet.personal_data_erased", 1;
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
    pub fn event_type(&self) -> &'static str {
        self.kind().as_str()
    }

    pub fn schema_version(&self) -> i16 {
        self.kind().schema_version()
    }

    /// What the event's wallet was created with, if the event is its creation.
    pub fn created(&self) -> Option<&Created> {
        if let Self::WalletCreated(created) = self {
            Some(created)
        } else {
            None
        }
    }

    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => moved.reference.as_deref(),
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => leg.reference.as_deref(),
            Self::HoldPlaced(placed) => placed.reference.as_deref(),
            Self::HoldCaptured(captured) => captured.reference.as_deref(),
            Self::HoldReleased(ended) | Self::HoldExpired(ended) => ended.reference.as_deref(),
            Self::HoldExtended(extended) => extended.reference.as_deref(),
            Self::ReversalDebited(leg) | Self::ReversalCredited(leg) => leg.reference.as_deref(),
            Self::WalletCreated(_)
            | Self::WalletFrozen(_)
            | Self::WalletUnfrozen(_)
            | Self::WalletClosed(_)
            | Self::OverdraftLimitSet(_)
            | Self::WalletChanged(_)
            | Self::PersonalDataErased(_) => None,
        }
    }

    /// The caller's own name for the movement; not the name of a wallet.
    pub fn movement_id(&self) -> Option<&str> {
        match self {
            Self::WalletCredited(moved) | Self::WalletDebited(moved) => moved.external_id.as_deref(),
            Self::TransferDebited(leg) | Self::TransferCredited(leg) => leg.external_id.as_deref(),
            Self::HoldCaptured(captured) => captured.external_id.as_deref(),
            Self::ReversalDebited(leg) | Self::ReversalCredited(leg) => leg.external_id.as_deref(),
            Self::WalletCreated(_)
            | Self::HoldPlaced(_)
            | Self::HoldReleased(_)
            | Self::HoldExpired(_)
            | Self::HoldExtended(_)
            | Self::WalletFrozen(_)
            | Self::WalletUnfrozen(_)
            | Self::WalletClosed(_)
            | Self::OverdraftLimitSet(_)
            | Self::WalletChanged(_)
            | Self::PersonalDataErased(_) => None,
        }
    }

    /// Reads a stored payload of any version this build knows. A later version that changes a payload adds an upcaster
    /// here, from each version to the next; what was written is never rewritten.
    pub fn decode(event_type: &str, schema_version: i16, payload: &[u8]) -> Result<Self, DecodeError> {
        let kind = EventKind::parse(event_type).filter(|kind| schema_version <= kind.schema_version());
        let Some(kind) = kind else {
            return Err(DecodeError::NeedsNewerVersion {
                event_type: event_type.to_owned(),
                schema_version,
            });
        };
        kind.read(payload).map_err(|error| DecodeError::Corrupt {
            event_type: event_type.to_owned(),
            schema_version,
            reason: error.to_string(),
        })
    }
}

/// What may have to be erased: kept in a row beside the event, which carries only its salted digest.
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
