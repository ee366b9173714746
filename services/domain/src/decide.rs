//! Decides one command on the wallets it touches. Pure: same state, same command, same answer.
//! Money is conserved by construction: a transfer is two events of one amount, decided together.

use crate::event::{Created, Moved, TransferLeg};
use crate::{
    Amount, Command, CreateWallet, Currency, EventData, Movement, Position, Transfer, Wallet, WalletId,
};

/// What a decision may look at: loaded under the partitions' locks, and carried forward command by
/// command through a batch.
pub trait State {
    fn wallet(&self, id: WalletId) -> Option<&Wallet>;
    /// The wallet that has this external id already.
    fn external_id_holder(&self, external_id: &str) -> Option<WalletId>;
    /// Where the next events of these wallets would stand, if appended in this order.
    fn next_positions(&self, first: WalletId, second: WalletId) -> (Position, Position);
}

/// An event of one wallet, to be appended in the order returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub wallet_id: WalletId,
    pub event: EventData,
}

/// Why a command does not happen. An answer like success is: it is stored and replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("wallet {0} exists already")]
    WalletExists(WalletId),
    #[error("external id {external_id} belongs to wallet {holder} already")]
    ExternalIdTaken { external_id: String, holder: WalletId },
    #[error("there is no wallet {0}")]
    WalletNotFound(WalletId),
    #[error("wallet {wallet_id} has {available} available, {amount} are needed")]
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
    #[error("the balance of wallet {0} would leave the range of 64-bit integers")]
    BalanceOverflow(WalletId),
    #[error("wallet {wallet_id} is at version {version}, the command expects {expected}")]
    VersionMismatch {
        wallet_id: WalletId,
        version: i64,
        expected: i64,
    },
}

pub fn decide(state: &impl State, command: &Command) -> Result<Vec<Decided>, Rejection> {
    match command {
        Command::Create(create) => create_wallet(state, create),
        Command::Credit(movement) => credit(state, movement),
        Command::Debit(movement) => debit(state, movement),
        Command::Transfer(transfer) => move_between(state, transfer),
    }
}

fn create_wallet(state: &impl State, create: &CreateWallet) -> Result<Vec<Decided>, Rejection> {
    if state.wallet(create.wallet_id).is_some() {
        return Err(Rejection::WalletExists(create.wallet_id));
    }
    if let Some(external_id) = &create.external_id
        && let Some(holder) = state.external_id_holder(external_id)
    {
        return Err(Rejection::ExternalIdTaken {
            external_id: external_id.clone(),
            holder,
        });
    }
    let initial_balance = create.initial_balance.map_or(0, Amount::minor);
    let event = EventData::WalletCreated(Created {
        currency: create.currency,
        external_id: create.external_id.clone(),
        initial_balance,
        balance: initial_balance,
        personal: create.personal,
    });
    Ok(vec![Decided {
        wallet_id: create.wallet_id,
        event,
    }])
}

fn credit(state: &impl State, movement: &Movement) -> Result<Vec<Decided>, Rejection> {
    let wallet = existing(state, movement.wallet_id, movement.expected_version)?;
    let balance = after_credit(wallet, movement.amount)?;
    let event = EventData::WalletCredited(moved(wallet, movement, balance));
    Ok(vec![Decided {
        wallet_id: wallet.id,
        event,
    }])
}

fn debit(state: &impl State, movement: &Movement) -> Result<Vec<Decided>, Rejection> {
    let wallet = existing(state, movement.wallet_id, movement.expected_version)?;
    let balance = after_debit(wallet, movement.amount)?;
    let event = EventData::WalletDebited(moved(wallet, movement, balance));
    Ok(vec![Decided {
        wallet_id: wallet.id,
        event,
    }])
}

fn move_between(state: &impl State, transfer: &Transfer) -> Result<Vec<Decided>, Rejection> {
    if transfer.from == transfer.to {
        return Err(Rejection::SameWallet(transfer.from));
    }
    let from = existing(state, transfer.from, transfer.expected_version)?;
    let to = existing(state, transfer.to, None)?;
    if from.currency != to.currency {
        return Err(Rejection::CurrencyMismatch {
            from: from.id,
            from_currency: from.currency,
            to: to.id,
            to_currency: to.currency,
        });
    }
    let from_balance = after_debit(from, transfer.amount)?;
    let to_balance = after_credit(to, transfer.amount)?;
    let (from_position, to_position) = state.next_positions(from.id, to.id);
    let debit = TransferLeg {
        amount: transfer.amount.minor(),
        currency: from.currency,
        balance: from_balance,
        counterparty: to.id,
        position: from_position,
        counterparty_position: to_position,
        reference: transfer.reference.clone(),
        personal: transfer.personal,
    };
    let credit = TransferLeg {
        balance: to_balance,
        counterparty: from.id,
        position: to_position,
        counterparty_position: from_position,
        ..debit.clone()
    };
    Ok(vec![
        Decided {
            wallet_id: from.id,
            event: EventData::TransferDebited(debit),
        },
        Decided {
            wallet_id: to.id,
            event: EventData::TransferCredited(credit),
        },
    ])
}

fn existing(state: &impl State, id: WalletId, expected_version: Option<i64>) -> Result<&Wallet, Rejection> {
    let wallet = state.wallet(id).ok_or(Rejection::WalletNotFound(id))?;
    match expected_version {
        Some(expected) if expected != wallet.version => Err(Rejection::VersionMismatch {
            wallet_id: id,
            version: wallet.version,
            expected,
        }),
        _ => Ok(wallet),
    }
}

fn after_credit(wallet: &Wallet, amount: Amount) -> Result<i64, Rejection> {
    wallet
        .balance
        .checked_add(amount.minor())
        .ok_or(Rejection::BalanceOverflow(wallet.id))
}

fn after_debit(wallet: &Wallet, amount: Amount) -> Result<i64, Rejection> {
    // In 128 bits, because balance − held + limit may leave the 64-bit range where each alone does not.
    let spendable = i128::from(wallet.balance) - i128::from(wallet.held) + i128::from(wallet.overdraft_limit);
    if i128::from(amount.minor()) > spendable {
        return Err(Rejection::InsufficientFunds {
            wallet_id: wallet.id,
            available: wallet.available(),
            amount,
        });
    }
    wallet
        .balance
        .checked_sub(amount.minor())
        .ok_or(Rejection::BalanceOverflow(wallet.id))
}

fn moved(wallet: &Wallet, movement: &Movement, balance: i64) -> Moved {
    Moved {
        amount: movement.amount.minor(),
        currency: wallet.currency,
        balance,
        reference: movement.reference.clone(),
        personal: movement.personal,
    }
}
