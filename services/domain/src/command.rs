//! What callers ask for. Parsed and typed at the edge; `decide` says whether it happens.

use uuid::Uuid;

use crate::{Amount, Currency, Hash, HoldId, Rejection, WalletId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Create(CreateWallet),
    Credit(Movement),
    Debit(Movement),
    Transfer(Transfer),
    PlaceHold(PlaceHold),
    CaptureHold(CaptureHold),
    ReleaseHold(ReleaseHold),
    Reverse(Reverse),
    Change(ChangeWallet),
    /// Ends what is due of a wallet's holds, which any command on it does first; this one does nothing else.
    ExpireHolds(WalletId),
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
    /// The caller's own name of the movement, unique in the platform for good: what carries it again is the same
    /// movement, or refused.
    pub external_id: Option<String>,
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
    /// The caller's own name of the movement, unique in the platform for good: what carries it again is the same
    /// movement, or refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    /// From `If-Match`: rejected unless the source wallet is at this version.
    pub expected_version: Option<i64>,
}

/// Sets money aside: it stays in the balance and is no longer available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceHold {
    pub hold_id: HoldId,
    pub wallet_id: WalletId,
    pub amount: Amount,
    /// Microseconds since 1970 (UTC); must be in the future.
    pub expires_at: Option<i64>,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

/// Takes what a hold has set aside; what is left of it becomes available again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureHold {
    pub hold_id: HoldId,
    /// The whole hold when missing.
    pub amount: Option<Amount>,
    /// The wallet that gets the money; outside when missing.
    pub to: Option<WalletId>,
    pub reference: Option<String>,
    /// The caller's own name of the movement, unique in the platform for good: what carries it again is the same
    /// movement, or refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseHold {
    pub hold_id: HoldId,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

/// Takes a transaction back, as a whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverse {
    pub transaction_id: Uuid,
    /// What is left of the transaction when missing.
    pub amount: Option<Amount>,
    pub reference: Option<String>,
    /// The caller's own name of the movement, unique in the platform for good: what carries it again is the same
    /// movement, or refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    /// Of the wallet that pays; of the one that receives when the payer is outside.
    pub expected_version: Option<i64>,
}

/// Changes a wallet without moving money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeWallet {
    pub wallet_id: WalletId,
    pub change: Change,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Freeze,
    Unfreeze,
    Close,
    /// Minor units, never negative.
    SetOverdraftLimit(i64),
    ErasePersonalData,
}

impl Command {
    /// The wallets that the command itself names, the source first. A hold and a transaction stand for more:
    /// see [`Command::hold`] and [`Command::transaction`].
    pub fn wallets(&self) -> impl Iterator<Item = WalletId> {
        let (first, second) = match self {
            Self::Create(create) => (Some(create.wallet_id), None),
            Self::Credit(movement) | Self::Debit(movement) => (Some(movement.wallet_id), None),
            Self::Transfer(transfer) => (Some(transfer.from), Some(transfer.to)),
            Self::PlaceHold(place) => (Some(place.wallet_id), None),
            Self::CaptureHold(capture) => (capture.to, None),
            Self::ReleaseHold(_) | Self::Reverse(_) => (None, None),
            Self::Change(change) => (Some(change.wallet_id), None),
            Self::ExpireHolds(wallet_id) => (Some(*wallet_id), None),
        };
        first.into_iter().chain(second)
    }

    /// The hold whose wallet the command touches.
    pub fn hold(&self) -> Option<HoldId> {
        match self {
            Self::CaptureHold(capture) => Some(capture.hold_id),
            Self::ReleaseHold(release) => Some(release.hold_id),
            Self::Create(_)
            | Self::Credit(_)
            | Self::Debit(_)
            | Self::Transfer(_)
            | Self::PlaceHold(_)
            | Self::Reverse(_)
            | Self::Change(_)
            | Self::ExpireHolds(_) => None,
        }
    }

    /// Every hold the command names: also the one that it is about to place, whose name may be taken.
    pub fn named_hold(&self) -> Option<HoldId> {
        match self {
            Self::PlaceHold(place) => Some(place.hold_id),
            Self::Create(_)
            | Self::Credit(_)
            | Self::Debit(_)
            | Self::Transfer(_)
            | Self::CaptureHold(_)
            | Self::ReleaseHold(_)
            | Self::Reverse(_)
            | Self::Change(_)
            | Self::ExpireHolds(_) => self.hold(),
        }
    }

    /// The wallet that the command would create, with its name.
    pub fn creates(&self) -> Option<&CreateWallet> {
        match self {
            Self::Create(create) => Some(create),
            Self::Credit(_)
            | Self::Debit(_)
            | Self::Transfer(_)
            | Self::PlaceHold(_)
            | Self::CaptureHold(_)
            | Self::ReleaseHold(_)
            | Self::Reverse(_)
            | Self::Change(_)
            | Self::ExpireHolds(_) => None,
        }
    }

    /// The wallet that gets one hold more.
    pub fn places_on(&self) -> Option<WalletId> {
        match self {
            Self::PlaceHold(place) => Some(place.wallet_id),
            Self::Create(_)
            | Self::Credit(_)
            | Self::Debit(_)
            | Self::Transfer(_)
            | Self::CaptureHold(_)
            | Self::ReleaseHold(_)
            | Self::Reverse(_)
            | Self::Change(_)
            | Self::ExpireHolds(_) => None,
        }
    }

    /// The wallet whose personal data is to be erased.
    pub fn erases(&self) -> Option<WalletId> {
        match self {
            Self::Change(change) => match change.change {
                Change::ErasePersonalData => Some(change.wallet_id),
                Change::Freeze | Change::Unfreeze | Change::Close | Change::SetOverdraftLimit(_) => None,
            },
            Self::Create(_)
            | Self::Credit(_)
            | Self::Debit(_)
            | Self::Transfer(_)
            | Self::PlaceHold(_)
            | Self::CaptureHold(_)
            | Self::ReleaseHold(_)
            | Self::Reverse(_)
            | Self::ExpireHolds(_) => None,
        }
    }

    /// The transaction whose wallets the command touches.
    pub fn transaction(&self) -> Option<Uuid> {
        match self {
            Self::Reverse(reverse) => Some(reverse.transaction_id),
            Self::Create(_)
            | Self::Credit(_)
            | Self::Debit(_)
            | Self::Transfer(_)
            | Self::PlaceHold(_)
            | Self::CaptureHold(_)
            | Self::ReleaseHold(_)
            | Self::Change(_)
            | Self::ExpireHolds(_) => None,
        }
    }

    /// The caller's own name of the movement, when the command is one and has it.
    pub fn movement_id(&self) -> Option<&str> {
        match self {
            Self::Credit(movement) | Self::Debit(movement) => movement.external_id.as_deref(),
            Self::Transfer(transfer) => transfer.external_id.as_deref(),
            Self::CaptureHold(capture) => capture.external_id.as_deref(),
            Self::Reverse(reverse) => reverse.external_id.as_deref(),
            // A wallet and a hold have names of their own, which are unique too.
            Self::Create(_)
            | Self::PlaceHold(_)
            | Self::ReleaseHold(_)
            | Self::Change(_)
            | Self::ExpireHolds(_) => None,
        }
    }

    /// All wallets that the command touches, the one that pays first as far as the command says. A hold and a
    /// transaction stand for wallets that the caller looks up; one that is not there is what the command is rejected for.
    pub fn touched<Wallets: IntoIterator<Item = WalletId>>(
        &self,
        wallet_of_hold: impl Fn(HoldId) -> Option<WalletId>,
        wallets_of_transaction: impl Fn(Uuid) -> Option<Wallets>,
    ) -> Result<Vec<WalletId>, Rejection> {
        let mut wallets = Vec::with_capacity(2);
        if let Some(hold) = self.hold() {
            wallets.push(wallet_of_hold(hold).ok_or(Rejection::HoldNotFound(hold))?);
        }
        if let Some(transaction) = self.transaction() {
            wallets.extend(
                wallets_of_transaction(transaction).ok_or(Rejection::TransactionNotFound(transaction))?,
            );
        }
        wallets.extend(self.wallets());
        Ok(wallets)
    }

    /// The bounded name used in metrics and answers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Credit(_) => "credit",
            Self::Debit(_) => "debit",
            Self::Transfer(_) => "transfer",
            Self::PlaceHold(_) => "hold",
            Self::CaptureHold(_) => "capture",
            Self::ReleaseHold(_) => "release",
            Self::Reverse(_) => "reversal",
            Self::Change(change) => match change.change {
                Change::Freeze => "freeze",
                Change::Unfreeze => "unfreeze",
                Change::Close => "close",
                Change::SetOverdraftLimit(_) => "overdraft_limit",
                Change::ErasePersonalData => "erase",
            },
            Self::ExpireHolds(_) => "expire",
        }
    }
}
