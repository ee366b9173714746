//! Decides one command on the wallets it touches. Pure: same state, same command, same answer.
//! Money is conserved by construction: a transfer is two events of one amount, decided together.

mod hold;
mod rejection;
mod reversal;

use uuid::Uuid;

pub use hold::expire;
pub use rejection::Rejection;

use crate::event::{Changed, Created, DetailsChanged, Moved, OverdraftLimitSet, TransferLeg};
use crate::{
    Amount, Change, ChangeWallet, Command, CreateWallet, EventData, Hold, HoldId, MAX_BALANCE, Movement,
    Position, Status, Transaction, Transfer, Wallet, WalletId,
};

/// What a decision may look at: loaded under the partitions' locks, and carried forward command by command through a
/// batch.
pub trait State {
    /// The batch's time, at which its events will be recorded, in microseconds since 1970 (UTC).
    fn now(&self) -> i64;
    fn wallet(&self, id: WalletId) -> Option<&Wallet>;
    /// The wallet that already has this external id.
    fn external_id_holder(&self, external_id: &str) -> Option<WalletId>;
    fn hold(&self, id: HoldId) -> Option<&Hold>;
    fn transaction(&self, id: Uuid) -> Option<&Transaction>;
    /// How much of the transaction has been taken back, in minor units.
    fn reversed(&self, transaction_id: Uuid) -> i64;
    /// The number of this wallet's open holds.
    fn open_holds(&self, id: WalletId) -> i64;
    /// A wallet with this many open holds cannot place another.
    fn max_open_holds(&self) -> i64;
    /// The positions that the next events of these wallets would get, if appended in this order.
    fn next_positions(&self, first: WalletId, second: WalletId) -> (Position, Position);
}

/// An event of one wallet, to be appended in the order returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub wallet_id: WalletId,
    pub event: EventData,
}

/// Decides `command` on wallets whose due holds have been expired.
pub fn decide(state: &impl State, command: &Command) -> Result<Vec<Decided>, Rejection> {
    match command {
        Command::Create(create) => create_wallet(state, create),
        Command::Credit(movement) => credit(state, movement),
        Command::Debit(movement) => debit(state, movement),
        Command::Transfer(transfer) => move_between(state, transfer),
        Command::PlaceHold(place) => hold::place_hold(state, place),
        Command::CaptureHold(capture) => hold::capture_hold(state, capture),
        Command::ReleaseHold(release) => hold::release_hold(state, release),
        Command::ExtendHold(extend) => hold::extend_hold(state, extend),
        Command::Reverse(reverse) => reversal::take_back(state, reverse),
        Command::Change(change) => change_wallet(state, change),
        Command::ExpireHolds(_) => Ok(Vec::new()),
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
    let wallet = receiver(state, movement.wallet_id, movement.expected_version)?;
    let balance = after_credit(wallet, movement.amount)?;
    let event = EventData::WalletCredited(moved(wallet, movement, balance));
    Ok(one(wallet, event))
}

fn debit(state: &impl State, movement: &Movement) -> Result<Vec<Decided>, Rejection> {
    let wallet = payer(state, movement.wallet_id, movement.expected_version)?;
    let balance = after_debit(wallet, movement.amount)?;
    let event = EventData::WalletDebited(moved(wallet, movement, balance));
    Ok(one(wallet, event))
}

fn move_between(state: &impl State, transfer: &Transfer) -> Result<Vec<Decided>, Rejection> {
    if transfer.from == transfer.to {
        return Err(Rejection::SameWallet(transfer.from));
    }
    let from = existing(state, transfer.from, transfer.expected_version)?;
    let to = receiver(state, transfer.to, None)?;
    let from = may_pay(from)?;
    same_currency(from, to)?;
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
        external_id: transfer.external_id.clone(),
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

fn change_wallet(state: &impl State, change: &ChangeWallet) -> Result<Vec<Decided>, Rejection> {
    let wallet = existing(state, change.wallet_id, change.expected_version)?;
    let id = wallet.id;
    // Personal data can be erased at any time, even after the wallet is closed.
    if wallet.status == Status::Closed && change.change != Change::ErasePersonalData {
        return Err(Rejection::WalletClosed(id));
    }
    let changed = Changed {
        currency: wallet.currency,
        balance: wallet.balance,
        personal: change.personal,
    };
    let event = match change.change {
        Change::Freeze if wallet.status == Status::Frozen => return Err(Rejection::WalletFrozen(id)),
        Change::Freeze => EventData::WalletFrozen(changed),
        Change::Unfreeze if wallet.status != Status::Frozen => return Err(Rejection::WalletNotFrozen(id)),
        Change::Unfreeze => EventData::WalletUnfrozen(changed),
        Change::Close if wallet.balance != 0 || wallet.held != 0 => {
            return Err(Rejection::WalletNotEmpty {
                wallet_id: id,
                balance: wallet.balance,
                held: wallet.held,
            });
        }
        Change::Close => EventData::WalletClosed(changed),
        Change::SetOverdraftLimit(limit) if limit > MAX_BALANCE => {
            return Err(Rejection::BalanceOverflow(id));
        }
        Change::SetOverdraftLimit(limit) => {
            if i128::from(wallet.balance) - i128::from(wallet.held) < -i128::from(limit) {
                return Err(Rejection::OverdraftInUse {
                    wallet_id: id,
                    available: wallet.available(),
                    limit,
                });
            }
            EventData::OverdraftLimitSet(OverdraftLimitSet {
                overdraft_limit: limit,
                currency: wallet.currency,
                balance: wallet.balance,
                personal: change.personal,
            })
        }
        Change::Details(details) => EventData::WalletChanged(DetailsChanged {
            details,
            currency: wallet.currency,
            balance: wallet.balance,
            personal: change.personal,
        }),
        Change::ErasePersonalData => EventData::PersonalDataErased(changed),
    };
    Ok(one(wallet, event))
}

fn one(wallet: &Wallet, event: EventData) -> Vec<Decided> {
    vec![Decided {
        wallet_id: wallet.id,
        event,
    }]
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

/// A wallet that may receive money.
fn receiver(state: &impl State, id: WalletId, expected_version: Option<i64>) -> Result<&Wallet, Rejection> {
    let wallet = existing(state, id, expected_version)?;
    match wallet.status {
        Status::Active | Status::Frozen => Ok(wallet),
        Status::Closed => Err(Rejection::WalletClosed(id)),
    }
}

/// A wallet that money may leave.
fn payer(state: &impl State, id: WalletId, expected_version: Option<i64>) -> Result<&Wallet, Rejection> {
    may_pay(existing(state, id, expected_version)?)
}

fn may_pay(wallet: &Wallet) -> Result<&Wallet, Rejection> {
    match wallet.status {
        Status::Active => Ok(wallet),
        Status::Frozen => Err(Rejection::WalletFrozen(wallet.id)),
        Status::Closed => Err(Rejection::WalletClosed(wallet.id)),
    }
}

fn same_currency(from: &Wallet, to: &Wallet) -> Result<(), Rejection> {
    if from.currency == to.currency {
        return Ok(());
    }
    Err(Rejection::CurrencyMismatch {
        from: from.id,
        from_currency: from.currency,
        to: to.id,
        to_currency: to.currency,
    })
}

fn after_credit(wallet: &Wallet, amount: Amount) -> Result<i64, Rejection> {
    within_bounds(wallet, wallet.balance.checked_add(amount.minor()))
}

/// Checks what a balance, or the held part of it, grows to. One that is beyond the bound already, because it is older
/// than the bound, may still shrink; that is not checked here.
fn within_bounds(wallet: &Wallet, grown: Option<i64>) -> Result<i64, Rejection> {
    grown
        .filter(|grown| (-MAX_BALANCE..=MAX_BALANCE).contains(grown))
        .ok_or(Rejection::BalanceOverflow(wallet.id))
}

fn after_debit(wallet: &Wallet, amount: Amount) -> Result<i64, Rejection> {
    // In 128 bits, because balance − held + limit may leave the 64-bit range though each alone does not.
    let spendable = i128::from(wallet.balance) - i128::from(wallet.held) + i128::from(wallet.overdraft_limit);
    if i128::from(amount.minor()) > spendable {
        return Err(Rejection::InsufficientFunds {
            wallet_id: wallet.id,
            available: wallet.available(),
            amount,
        });
    }
    // A limit that is older than the bound on limits may allow more than a balance can show.
    wallet
        .balance
        .checked_sub(amount.minor())
        .filter(|balance| *balance >= -MAX_BALANCE)
        .ok_or(Rejection::BalanceOverflow(wallet.id))
}

fn moved(wallet: &Wallet, movement: &Movement, balance: i64) -> Moved {
    Moved {
        amount: movement.amount.minor(),
        currency: wallet.currency,
        balance,
        reference: movement.reference.clone(),
        external_id: movement.external_id.clone(),
        personal: movement.personal,
    }
}
