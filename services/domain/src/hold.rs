//! Money set aside: the state of a hold, and what a transaction leaves to be taken back.

use uuid::Uuid;

use crate::{Currency, EventData, HoldId, WalletId};

/// A hold is open once and ends once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum HoldStatus {
    Open,
    Captured,
    Released,
    Expired,
}

impl HoldStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Captured, Self::Released, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == name)
    }

    /// What a hold is after an event about it.
    pub fn after(event: &EventData) -> Option<Self> {
        match event {
            EventData::HoldPlaced(_) => Some(Self::Open),
            EventData::HoldCaptured(_) => Some(Self::Captured),
            EventData::HoldReleased(_) => Some(Self::Released),
            EventData::HoldExpired(_) => Some(Self::Expired),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub id: HoldId,
    pub wallet_id: WalletId,
    /// Minor units of the wallet's currency.
    pub amount: i64,
    /// Microseconds since 1970 (UTC); from then on the hold cannot be captured.
    pub expires_at: Option<i64>,
    pub status: HoldStatus,
}

impl Hold {
    /// Whether the hold is to be ended before anything else happens to its wallet.
    pub fn is_due(&self, now: i64) -> bool {
        self.status == HoldStatus::Open && self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A committed transaction as its reversal sees it. Facts: none of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub id: Uuid,
    /// The wallets that its events are of, the one that paid first.
    pub wallets: Vec<WalletId>,
    /// What it moved, when it may be taken back.
    pub movement: Option<Moves>,
}

/// Money that went from one side to the other; `None` is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moves {
    pub from: Option<WalletId>,
    pub to: Option<WalletId>,
    pub amount: i64,
    pub currency: Currency,
}

impl Transaction {
    /// From the events of one transaction; `None` when there are none.
    pub fn of(id: Uuid, events: &[(WalletId, EventData)]) -> Option<Self> {
        // The one that says it all comes first: the leg that paid.
        let paying = |event: &EventData| event.balance_change() < 0;
        let (wallet, event) = events
            .iter()
            .find(|(_, event)| paying(event))
            .or(events.first())?;
        let (from, to) = match event {
            EventData::WalletCreated(_) | EventData::WalletCredited(_) => (None, Some(*wallet)),
            EventData::WalletDebited(_) | EventData::TransferDebited(_) | EventData::HoldCaptured(_) => {
                (Some(*wallet), event.counterparty())
            }
            _ => (None, None),
        };
        let moved = event.amount() > 0 && (from.is_some() || to.is_some());
        let others = events.iter().map(|(other, _)| *other);
        Some(Self {
            id,
            wallets: std::iter::once(*wallet)
                .chain(others.filter(|other| other != wallet))
                .collect(),
            movement: moved.then(|| Moves {
                from,
                to,
                amount: event.amount(),
                currency: event.currency(),
            }),
        })
    }
}
