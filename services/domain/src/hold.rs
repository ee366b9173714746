//! Money set aside: the state of a hold, and what a reversal needs to know of a transaction.

use uuid::Uuid;

use crate::{Currency, EventData, HoldId, WalletId};

crate::words! {
    /// A hold is open once and ends once.
    #[derive(utoipa::ToSchema)]
    #[schema(rename_all = "lowercase")]
    pub enum HoldStatus {
        Open = "open",
        Captured = "captured",
        Released = "released",
        Expired = "expired",
    }
}

impl HoldStatus {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
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
    /// The hold after `event`, the next event about it. `None` when the event does not follow: a hold is placed twice,
    /// or the changed hold is not open, belongs to another wallet, has another amount, or would expire no later. Also
    /// `None` for an event that is not about a hold.
    pub fn evolve(before: Option<Self>, wallet_id: WalletId, event: &EventData) -> Option<Self> {
        let effect = event.effect();
        let change = effect.hold?;
        match (before, change.is_placed) {
            (None, true) => Some(Self {
                id: change.id,
                wallet_id,
                amount: effect.held,
                expires_at: change.expires_at,
                status: change.status,
            }),
            (Some(hold), false) => {
                // Ending a hold frees all of it; nothing is freed before.
                let freed = match change.status {
                    HoldStatus::Open => 0,
                    HoldStatus::Captured | HoldStatus::Released | HoldStatus::Expired => hold.amount,
                };
                let is_later = |to: i64| hold.expires_at.is_some_and(|from| from < to);
                let follows = hold.status == HoldStatus::Open
                    && hold.id == change.id
                    && hold.wallet_id == wallet_id
                    && effect.held == -freed
                    && change.expires_at.is_none_or(is_later);
                follows.then_some(Self {
                    status: change.status,
                    expires_at: change.expires_at.or(hold.expires_at),
                    ..hold
                })
            }
            (Some(_), true) | (None, false) => None,
        }
    }

    /// Whether the hold must end before anything else happens to its wallet.
    pub fn is_due(&self, now: i64) -> bool {
        self.status == HoldStatus::Open && self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// A committed transaction as its reversal sees it. Facts: none of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub id: Uuid,
    /// The wallets of its events, the payer first.
    pub wallets: Vec<WalletId>,
    /// What it moved, if that can be reversed.
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
    /// From the events of one transaction; `None` without events.
    pub fn of(id: Uuid, events: &[(WalletId, EventData)]) -> Option<Self> {
        // The most informative first: the leg that paid.
        let (wallet, event) = events
            .iter()
            .find(|(_, event)| event.effect().pays())
            .or(events.first())?;
        let effect = event.effect();
        let other = effect.other.map(|other| other.wallet_id);
        let (from, to) = if effect.pays() {
            (Some(*wallet), other)
        } else {
            (other, Some(*wallet))
        };
        let moved = effect.is_reversible && effect.amount > 0;
        let others = events.iter().map(|(other, _)| *other);
        Some(Self {
            id,
            wallets: std::iter::once(*wallet)
                .chain(others.filter(|other| other != wallet))
                .collect(),
            movement: moved.then(|| Moves {
                from,
                to,
                amount: effect.amount,
                currency: event.currency(),
            }),
        })
    }
}
