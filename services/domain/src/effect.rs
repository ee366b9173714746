//! What an event does: to its wallet's money, to a hold, to an earlier transaction. A new event must answer all of it
//! here; nothing else in the domain asks which event it is.

use uuid::Uuid;

use crate::{Details, EventData, EventKind, HoldId, HoldStatus, OtherLeg, Position, Status, WalletId};

/// Amounts are minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// What the event is about, never negative: what was moved, held or given back, or the new overdraft limit; 0 if
    /// there is no amount.
    pub amount: i64,
    /// Change of the balance: positive in, negative out.
    pub balance: i64,
    /// Change of the held money.
    pub held: i64,
    /// The wallet's status from this event on, if the event changes it.
    pub status: Option<Status>,
    /// The wallet's overdraft limit from this event on, if the event changes it.
    pub overdraft_limit: Option<i64>,
    /// The other leg of a movement between two wallets.
    pub other: Option<OtherLeg>,
    /// The position in the journal that the event itself states, if it does.
    pub position: Option<Position>,
    /// The hold that the event is about, and its state from then on.
    pub hold: Option<HoldChange>,
    /// The transaction that a reversal takes back.
    pub reverses: Option<Uuid>,
    /// Whether a reversal may take back what it moved. For a movement between two wallets, the leg that pays says so.
    pub is_reversible: bool,
    /// Which of the wallet's owner, description and metadata the event sets, to what stands beside it or to none.
    pub details: Details,
    /// Whether it erases the personal data of earlier events.
    pub erases: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldChange {
    pub id: HoldId,
    pub status: HoldStatus,
    /// Whether the event places the hold: there was none before.
    pub is_placed: bool,
    /// The new expiry, if the event states one. It never moves earlier.
    pub expires_at: Option<i64>,
    /// How much of it left the wallet.
    pub captured: i64,
}

impl EventData {
    pub fn effect(&self) -> Effect {
        match self {
            Self::WalletCreated(created) => Effect {
                amount: created.initial_balance,
                balance: created.initial_balance,
                status: Some(Status::Active),
                details: Details::ALL,
                is_reversible: true,
                ..Effect::default()
            },
            Self::WalletCredited(moved) => Effect {
                amount: moved.amount,
                balance: moved.amount,
                is_reversible: true,
                ..Effect::default()
            },
            Self::WalletDebited(moved) => Effect {
                amount: moved.amount,
                balance: -moved.amount,
                is_reversible: true,
                ..Effect::default()
            },
            Self::TransferDebited(leg) => Effect {
                amount: leg.amount,
                balance: -leg.amount,
                other: Some(leg.other()),
                position: Some(leg.position),
                is_reversible: true,
                ..Effect::default()
            },
            Self::TransferCredited(leg) => Effect {
                amount: leg.amount,
                balance: leg.amount,
                other: Some(leg.other()),
                position: Some(leg.position),
                ..Effect::default()
            },
            Self::HoldPlaced(placed) => Effect {
                amount: placed.amount,
                held: placed.amount,
                hold: Some(HoldChange {
                    is_placed: true,
                    expires_at: placed.expires_at,
                    ..HoldChange::to(placed.hold_id, HoldStatus::Open)
                }),
                ..Effect::default()
            },
            Self::HoldCaptured(captured) => Effect {
                amount: captured.amount,
                balance: -captured.amount,
                // Never more than what was placed, so the sum fits.
                held: -captured.amount.saturating_add(captured.released),
                other: captured.other,
                hold: Some(HoldChange {
                    captured: captured.amount,
                    ..HoldChange::to(captured.hold_id, HoldStatus::Captured)
                }),
                is_reversible: true,
                ..Effect::default()
            },
            Self::HoldReleased(ended) => Effect {
                amount: ended.amount,
                held: -ended.amount,
                hold: Some(HoldChange::to(ended.hold_id, HoldStatus::Released)),
                ..Effect::default()
            },
            Self::HoldExpired(ended) => Effect {
                amount: ended.amount,
                held: -ended.amount,
                hold: Some(HoldChange::to(ended.hold_id, HoldStatus::Expired)),
                ..Effect::default()
            },
            Self::HoldExtended(extended) => Effect {
                hold: Some(HoldChange {
                    expires_at: Some(extended.expires_at),
                    ..HoldChange::to(extended.hold_id, HoldStatus::Open)
                }),
                ..Effect::default()
            },
            Self::ReversalDebited(leg) => Effect {
                amount: leg.amount,
                balance: -leg.amount,
                other: leg.other,
                reverses: Some(leg.reverses),
                ..Effect::default()
            },
            Self::ReversalCredited(leg) => Effect {
                amount: leg.amount,
                balance: leg.amount,
                other: leg.other,
                reverses: Some(leg.reverses),
                ..Effect::default()
            },
            Self::WalletFrozen(_) => Effect::becomes(Status::Frozen),
            Self::WalletUnfrozen(_) => Effect::becomes(Status::Active),
            Self::WalletClosed(_) => Effect::becomes(Status::Closed),
            Self::OverdraftLimitSet(set) => Effect {
                amount: set.overdraft_limit,
                overdraft_limit: Some(set.overdraft_limit),
                ..Effect::default()
            },
            Self::WalletChanged(changed) => Effect {
                details: changed.details,
                ..Effect::default()
            },
            Self::PersonalDataErased(_) => Effect {
                erases: true,
                ..Effect::default()
            },
        }
    }

    /// See [`Effect::amount`].
    pub fn amount(&self) -> i64 {
        self.effect().amount
    }

    /// The other wallet of a movement between two.
    pub fn counterparty(&self) -> Option<WalletId> {
        self.effect().other.map(|other| other.wallet_id)
    }
}

impl Effect {
    fn becomes(status: Status) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// Whether the wallet pays.
    pub fn pays(&self) -> bool {
        self.balance < 0
    }

    /// The reversed transaction, and how much of it is taken back. A reversal between two wallets has two events, of
    /// which only the paying one counts; any other reversal has one.
    pub fn takes_back(&self) -> Option<(Uuid, i64)> {
        let reverses = self.reverses?;
        (self.pays() || self.other.is_none()).then_some((reverses, self.amount))
    }
}

impl HoldChange {
    fn to(id: HoldId, status: HoldStatus) -> Self {
        Self {
            id,
            status,
            is_placed: false,
            expires_at: None,
            captured: 0,
        }
    }
}

impl EventKind {
    /// The type of the other wallet's event, when this one pays and the money stays in the platform.
    pub fn received_as(self) -> Option<Self> {
        match self {
            Self::TransferDebited | Self::HoldCaptured => Some(Self::TransferCredited),
            Self::ReversalDebited => Some(Self::ReversalCredited),
            Self::WalletCreated
            | Self::WalletCredited
            | Self::WalletDebited
            | Self::TransferCredited
            | Self::HoldPlaced
            | Self::HoldReleased
            | Self::HoldExpired
            | Self::HoldExtended
            | Self::ReversalCredited
            | Self::WalletFrozen
            | Self::WalletUnfrozen
            | Self::WalletClosed
            | Self::OverdraftLimitSet
            | Self::WalletChanged
            | Self::PersonalDataErased => None,
        }
    }
}
