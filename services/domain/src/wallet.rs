//! The state of a wallet that decisions are based on, and how events change it (`evolve`).

use serde::{Deserialize, Serialize};

use crate::{Currency, EventData, WalletId};

crate::words! {
    /// Whether a wallet takes and gives money.
    #[derive(Serialize, Deserialize, utoipa::ToSchema)]
    #[serde(rename_all = "lowercase")]
    #[schema(as = WalletStatus)]
    pub enum Status {
        Active = "active",
        /// No money leaves.
        Frozen = "frozen",
        /// Nothing happens any more, for good.
        Closed = "closed",
    }
}

impl Status {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A wallet as of its last event. Amounts are minor units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    pub id: WalletId,
    pub currency: Currency,
    pub balance: i64,
    /// Part of the balance that holds have set aside.
    pub held: i64,
    /// How far below zero the available balance may go.
    pub overdraft_limit: i64,
    pub status: Status,
    /// Number of the wallet's events; the next event gets `version + 1`.
    pub version: i64,
}

impl Wallet {
    /// What can be spent: balance − held, in minor units.
    pub fn available(&self) -> i64 {
        // Held never exceeds what the balance and the overdraft limit cover, so this cannot overflow.
        self.balance.saturating_sub(self.held)
    }

    /// The wallet after `event`, its next one. The first event is a creation; any other event without a wallet, or a
    /// second creation, gives `None`.
    pub fn evolve(before: Option<Self>, id: WalletId, event: &EventData) -> Option<Self> {
        let Some(wallet) = before else {
            let created = event.created()?;
            return Some(Self {
                id,
                currency: created.currency,
                balance: created.initial_balance,
                held: 0,
                overdraft_limit: 0,
                status: Status::Active,
                version: 1,
            });
        };
        if event.created().is_some() {
            return None;
        }
        let effect = event.effect();
        Some(Self {
            balance: wallet.balance.checked_add(effect.balance)?,
            held: wallet.held.checked_add(effect.held).filter(|held| *held >= 0)?,
            overdraft_limit: effect.overdraft_limit.unwrap_or(wallet.overdraft_limit),
            status: effect.status.unwrap_or(wallet.status),
            version: wallet.version.checked_add(1)?,
            ..wallet
        })
    }
}
