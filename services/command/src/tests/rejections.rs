//! The problems in a route's description are exactly those that its commands can end in.

use std::collections::{BTreeMap, BTreeSet};

use wallex_domain::{
    Amount, CaptureHold, Change, ChangeWallet, Command, CreateWallet, Details, ExtendHold, Hold, HoldId,
    HoldStatus, MAX_BALANCE, Movement, Moves, PlaceHold, Position, ReleaseHold, Reverse, State, Status,
    Transaction, Transfer, Wallet, WalletId, decide,
};

use uuid::Uuid;
use wallex_runtime::http::Code;

use crate::commands::COMMANDS;
use crate::{batch, problem};

/// Wallets, holds and transactions, named by what is special about them. Ids are indexes from 1; 0 does not exist.
struct World {
    wallets: Vec<Wallet>,
    holds: Vec<Hold>,
    transactions: Vec<Transaction>,
}

const NOW: i64 = 1_000;
const NOWHERE: u128 = 0;
/// Indexes of wallets.
const RICH: u128 = 1;
const POOR: u128 = 2;
const FROZEN: u128 = 3;
const CLOSED: u128 = 4;
const FOREIGN: u128 = 5;
const FULL: u128 = 6;
const OVERDRAWN: u128 = 7;
const HOLDING: u128 = 8;
const WALLETS: u128 = 8;

fn wallet_id(place: u128) -> WalletId {
    WalletId(Uuid::from_u128(place))
}

fn hold_id(place: u128) -> HoldId {
    HoldId(Uuid::from_u128(place))
}

impl World {
    fn new() -> Self {
        let wallet = |place, balance, status, currency: &str| Wallet {
            id: wallet_id(place),
            currency: currency.parse().unwrap(),
            balance,
            held: 0,
            overdraft_limit: 0,
            status,
            version: 7,
        };
        let mut wallets = vec![
            wallet(RICH, 10_000, Status::Active, "EUR"),
            wallet(POOR, 0, Status::Active, "EUR"),
            wallet(FROZEN, 10_000, Status::Frozen, "EUR"),
            wallet(CLOSED, 0, Status::Closed, "EUR"),
            wallet(FOREIGN, 10_000, Status::Active, "USD"),
            wallet(FULL, MAX_BALANCE, Status::Active, "EUR"),
            wallet(OVERDRAWN, -300, Status::Active, "EUR"),
            wallet(HOLDING, 10_000, Status::Active, "EUR"),
        ];
        wallets[OVERDRAWN as usize - 1].overdraft_limit = 500;
        // The held amount may exceed the balance if an overdraft covers it.
        wallets[FULL as usize - 1].held = MAX_BALANCE;
        wallets[FULL as usize - 1].overdraft_limit = MAX_BALANCE;
        let holds = [RICH, FROZEN, CLOSED].map(|owner| (owner, HoldStatus::Open));
        let holds = holds
            .into_iter()
            .chain([(RICH, HoldStatus::Released)])
            .enumerate();
        let holds = holds.map(|(at, (owner, status))| Hold {
            id: hold_id(at as u128 + 1),
            wallet_id: wallet_id(owner),
            amount: 500,
            expires_at: None,
            status,
        });
        let moves = [
            Some((None, Some(RICH))),
            Some((None, Some(POOR))),
            Some((None, Some(FROZEN))),
            Some((Some(CLOSED), Some(RICH))),
            Some((Some(FULL), None)),
            None,
        ];
        let transactions = moves.into_iter().enumerate().map(|(at, moves)| Transaction {
            id: Uuid::from_u128(at as u128 + 1),
            wallets: Vec::new(),
            movement: moves.map(|(from, to)| Moves {
                from: from.map(wallet_id),
                to: to.map(wallet_id),
                amount: 500,
                currency: "EUR".parse().unwrap(),
            }),
        });
        Self {
            wallets,
            holds: holds.collect(),
            transactions: transactions.collect(),
        }
    }
}

impl State for World {
    fn now(&self) -> i64 {
        NOW
    }

    fn wallet(&self, id: WalletId) -> Option<&Wallet> {
        self.wallets.iter().find(|wallet| wallet.id == id)
    }

    fn external_id_holder(&self, external_id: &str) -> Option<WalletId> {
        (external_id == "taken").then(|| wallet_id(RICH))
    }

    fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.id == id)
    }

    fn transaction(&self, id: Uuid) -> Option<&Transaction> {
        self.transactions.iter().find(|transaction| transaction.id == id)
    }

    fn reversed(&self, _: Uuid) -> i64 {
        100
    }

    fn open_holds(&self, id: WalletId) -> i64 {
        if id == wallet_id(HOLDING) { 2 } else { 0 }
    }

    fn max_open_holds(&self) -> i64 {
        2
    }

    fn next_positions(&self, _: WalletId, _: WalletId) -> (Position, Position) {
        let position = Position::at(0, 1);
        (position, position)
    }
}

/// Commands of each kind that together end in everything that the kind can end in.
fn commands() -> Vec<Command> {
    let mut commands = Vec::new();
    let versions = [None, Some(7), Some(6)];
    let amounts = [1, 600, 20_000].map(|minor| Amount::new(minor).unwrap());
    for (place, external_id) in [(RICH, None), (NOWHERE, Some("taken"))] {
        commands.push(Command::Create(CreateWallet {
            wallet_id: wallet_id(place),
            external_id: external_id.map(str::to_owned),
            currency: "EUR".parse().unwrap(),
            initial_balance: None,
            personal: None,
        }));
    }
    for (expected_version, amount) in versions
        .into_iter()
        .flat_map(|version| amounts.map(|amount| (version, amount)))
    {
        for place in 0..=WALLETS {
            let movement = Movement {
                wallet_id: wallet_id(place),
                amount,
                reference: None,
                external_id: None,
                personal: None,
                expected_version,
            };
            commands.push(Command::Credit(movement.clone()));
            commands.push(Command::Debit(movement));
            for (hold, expires_at) in [(1, None), (99, Some(NOW)), (99, None)] {
                commands.push(Command::PlaceHold(PlaceHold {
                    hold_id: hold_id(hold),
                    wallet_id: wallet_id(place),
                    amount,
                    expires_at,
                    reference: None,
                    personal: None,
                    expected_version,
                }));
            }
            for to in 0..=WALLETS {
                commands.push(Command::Transfer(Transfer {
                    from: wallet_id(place),
                    to: wallet_id(to),
                    amount,
                    reference: None,
                    external_id: None,
                    personal: None,
                    expected_version,
                }));
            }
            for change in [
                Change::Freeze,
                Change::Unfreeze,
                Change::Close,
                Change::SetOverdraftLimit(0),
                Change::SetOverdraftLimit(wallex_domain::MAX_MINOR_UNITS),
                Change::Details(Details::ALL),
                Change::ErasePersonalData,
            ] {
                commands.push(Command::Change(ChangeWallet {
                    wallet_id: wallet_id(place),
                    change,
                    personal: None,
                    expected_version,
                }));
            }
        }
        for hold in 0..=4 {
            commands.push(Command::ReleaseHold(ReleaseHold {
                hold_id: hold_id(hold),
                reference: None,
                personal: None,
                expected_version,
            }));
            commands.push(Command::ExtendHold(ExtendHold {
                hold_id: hold_id(hold),
                expires_at: NOW + 1,
                reference: None,
                personal: None,
                expected_version,
            }));
            for to in (0..=WALLETS).map(wallet_id).map(Some).chain([None]) {
                commands.push(Command::CaptureHold(CaptureHold {
                    hold_id: hold_id(hold),
                    amount: Some(amount),
                    to,
                    reference: None,
                    external_id: None,
                    personal: None,
                    expected_version,
                }));
            }
        }
        for transaction in 0..=6 {
            commands.push(Command::Reverse(Reverse {
                transaction_id: Uuid::from_u128(transaction),
                amount: Some(amount),
                reference: None,
                external_id: None,
                personal: None,
                expected_version,
            }));
        }
    }
    commands
}

#[test]
fn each_write_is_described_with_the_rejections_that_it_can_end_in() {
    let world = World::new();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for command in commands() {
        let codes = found.entry(command.kind()).or_default();
        if let Err(rejection) = decide(&world, &command) {
            codes.insert(problem::rejection(&rejection).code());
        }
    }
    // Not decided by the domain: repeated movements, available currencies, and batches.
    for (kind, code) in [
        ("credit", Code::ExternalIdTaken),
        ("debit", Code::ExternalIdTaken),
        ("transfer", Code::ExternalIdTaken),
        ("capture", Code::ExternalIdTaken),
        ("reversal", Code::ExternalIdTaken),
        ("create", Code::CurrencyUnknown),
        ("batch", Code::BatchRejected),
    ] {
        found.entry(kind).or_default().insert(code.as_str());
    }
    let described = COMMANDS
        .iter()
        .map(|command| (command.r#type, command.rejections));
    let described: BTreeMap<&str, BTreeSet<&str>> = described
        .chain([("batch", batch::REJECTIONS.codes)])
        .map(|(kind, codes)| (kind, codes.iter().map(|code| code.as_str()).collect()))
        .collect();
    for (kind, described) in &described {
        assert_eq!(described, &found[kind], "{kind}");
    }
    assert_eq!(described.len(), found.len());
}
