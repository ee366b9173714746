//! What callers ask for. Parsed and typed at the edge; `decide` says whether it happens.

use crate::{Amount, Currency, Hash, WalletId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Create(CreateWallet),
    Credit(Movement),
    Debit(Movement),
    Transfer(Transfer),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateWallet {
    pub wallet_id: WalletId,
    /// The caller's own name of the wallet, unique in the platform.
    pub external_id: Option<String>,
    pub currency: Currency,
    pub initial_balance: Option<Amount>,
    /// Salted digest of owner, description and metadata.
    pub personal: Option<Hash>,
}

/// Money from outside into a wallet, or out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub wallet_id: WalletId,
    pub amount: Amount,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    /// From `If-Match`: rejected unless the wallet is at this version.
    pub expected_version: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub from: WalletId,
    pub to: WalletId,
    pub amount: Amount,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    /// From `If-Match`: rejected unless the source wallet is at this version.
    pub expected_version: Option<i64>,
}

impl Command {
    /// The wallets the command touches: the source first.
    pub fn wallets(&self) -> impl Iterator<Item = WalletId> {
        let (first, second) = match self {
            Self::Create(create) => (create.wallet_id, None),
            Self::Credit(movement) | Self::Debit(movement) => (movement.wallet_id, None),
            Self::Transfer(transfer) => (transfer.from, Some(transfer.to)),
        };
        std::iter::once(first).chain(second)
    }

    /// The bounded name used in metrics and answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Credit(_) => "credit",
            Self::Debit(_) => "debit",
            Self::Transfer(_) => "transfer",
        }
    }
}
