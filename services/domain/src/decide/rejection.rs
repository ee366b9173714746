//! Why a command does not happen.

use uuid::Uuid;

use crate::{Amount, Currency, HoldId, HoldStatus, MAX_BALANCE, WalletId};

/// Why a command does not happen. A rejection is an answer like success: it is stored and replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("wallet {0} already exists")]
    WalletExists(WalletId),
    #[error("external id {external_id} already belongs to wallet {holder}")]
    ExternalIdTaken { external_id: String, holder: WalletId },
    #[error(
        "external id {external_id} already belongs to transaction {transaction_id}, which is a different movement"
    )]
    MovementTaken {
        external_id: String,
        transaction_id: Uuid,
    },
    #[error("there is no wallet {0}")]
    WalletNotFound(WalletId),
    #[error("wallet {wallet_id} has {available} available, but {amount} is needed")]
    InsufficientFunds {
        wallet_id: WalletId,
        available: i64,
        amount: Amount,
    },
    #[error("wallets {from} ({from_currency}) and {to} ({to_currency}) have different currencies")]
    CurrencyMismatch {
        from: WalletId,
        from_currency: Currency,
        to: WalletId,
        to_currency: Currency,
    },
    #[error("source and destination are the same wallet {0}")]
    SameWallet(WalletId),
    #[error("balance, held money or overdraft limit of wallet {0} would go beyond {MAX_BALANCE} minor units")]
    BalanceOverflow(WalletId),
    #[error("wallet {wallet_id} is at version {version}, but the command expects {expected}")]
    VersionMismatch {
        wallet_id: WalletId,
        version: i64,
        expected: i64,
    },
    #[error("hold {0} already exists")]
    HoldExists(HoldId),
    #[error("there is no hold {0}")]
    HoldNotFound(HoldId),
    #[error("hold {hold_id} is already {}", status.as_str())]
    HoldClosed { hold_id: HoldId, status: HoldStatus },
    #[error("hold {hold_id} has {held} set aside, but the capture is for {amount}")]
    CaptureTooLarge {
        hold_id: HoldId,
        held: i64,
        amount: Amount,
    },
    #[error("wallet {wallet_id} already has {limit} or more open holds, the most that a wallet may have")]
    TooManyHolds { wallet_id: WalletId, limit: i64 },
    #[error("expires_at is not in the future")]
    ExpiryPassed,
    #[error("expires_at is not later than the end of hold {0}; a hold that has none cannot be extended")]
    ExpiryNotLater(HoldId),
    #[error("there is no transaction {0}")]
    TransactionNotFound(Uuid),
    #[error("transaction {0} moved no money that a reversal could take back")]
    NotReversible(Uuid),
    #[error("{left} of transaction {transaction_id} can still be reversed")]
    ReversalTooLarge { transaction_id: Uuid, left: i64 },
    #[error("wallet {0} is frozen")]
    WalletFrozen(WalletId),
    #[error("wallet {0} is not frozen")]
    WalletNotFrozen(WalletId),
    #[error("wallet {0} is closed")]
    WalletClosed(WalletId),
    #[error("wallet {wallet_id} has a balance of {balance} and {held} held; both must be 0 to close it")]
    WalletNotEmpty {
        wallet_id: WalletId,
        balance: i64,
        held: i64,
    },
    #[error(
        "wallet {wallet_id} has {available} available, so its overdraft limit cannot be lowered to {limit}"
    )]
    OverdraftInUse {
        wallet_id: WalletId,
        available: i64,
        limit: i64,
    },
}

impl Rejection {
    /// Something that the command is about does not exist. That may change, so the answer is not stored.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::WalletNotFound(_) | Self::HoldNotFound(_) | Self::TransactionNotFound(_)
        )
    }
}
