//! Properties of `decide` and `evolve` over random streams of commands: whatever comes, money is conserved,
//! no wallet goes below its limit, a hold ends once, no reversal takes more than went, versions are contiguous, and a balance is the fold of the wallet's events.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;
use wallex_domain::*;

/// The journal in memory: all wallets in one partition.
#[derive(Default)]
struct Journal {
    wallets: BTreeMap<WalletId, Wallet>,
    events: BTreeMap<WalletId, Vec<EventData>>,
    last_seq: i64,
    now: i64,
    holds: BTreeMap<HoldId, Hold>,
    /// By the number of the command that made it.
    transactions: BTreeMap<Uuid, Transaction>,
    reversed: BTreeMap<Uuid, i64>,
}

/// So few that the histories come up against it.
const MAX_OPEN_HOLDS: i64 = 3;

impl State for Journal {
    fn now(&self) -> i64 {
        self.now
    }

    fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    fn transaction(&self, id: Uuid) -> Option<&Transaction> {
        self.transactions.get(&id)
    }

    fn reversed(&self, transaction_id: Uuid) -> i64 {
        self.reversed.get(&transaction_id).copied().unwrap_or(0)
    }

    fn wallet(&self, id: WalletId) -> Option<&Wallet> {
        self.wallets.get(&id)
    }

    fn external_id_holder(&self, external_id: &str) -> Option<WalletId> {
        self.events.iter().find_map(|(id, events)| match events.first()? {
            EventData::WalletCreated(created) => {
                (created.external_id.as_deref() == Some(external_id)).then_some(*id)
            }
            _ => None,
        })
    }

    fn open_holds(&self, id: WalletId) -> i64 {
        let open = |hold: &&Hold| hold.wallet_id == id && hold.status == HoldStatus::Open;
        self.holds.values().filter(open).count() as i64
    }

    fn max_open_holds(&self) -> i64 {
        MAX_OPEN_HOLDS
    }

    fn next_positions(&self, _: WalletId, _: WalletId) -> (Position, Position) {
        let at = |seq| Position {
            partition: Partition(0),
            seq,
        };
        (at(self.last_seq + 1), at(self.last_seq + 2))
    }
}

impl Journal {
    fn run(&mut self, command: &Command) -> Result<Vec<Decided>, Rejection> {
        self.now += 1;
        self.expire();
        let decided = decide(self, command)?;
        self.record(&decided);
        Ok(decided)
    }

    /// What the append protocol does before each command, here on all wallets.
    fn expire(&mut self) {
        let due: Vec<Hold> = self
            .holds
            .values()
            .filter(|hold| hold.is_due(self.now))
            .cloned()
            .collect();
        for hold in due {
            let expired = expire(&self.wallets[&hold.wallet_id], &hold);
            self.record(&[expired]);
        }
    }

    fn record(&mut self, decided: &[Decided]) {
        let transaction_id = Uuid::from_u128(self.transactions.len() as u128);
        let mut events = Vec::new();
        for Decided { wallet_id, event } in decided {
            let after = Wallet::evolve(self.wallets.remove(wallet_id), *wallet_id, event);
            let after = after.unwrap();
            assert_eq!(
                after.balance,
                event.balance(),
                "an event states the balance after it"
            );
            self.wallets.insert(*wallet_id, after);
            self.events.entry(*wallet_id).or_default().push(event.clone());
            self.last_seq += 1;
            events.push((*wallet_id, event.clone()));
            if let Some(change) = event.effect().hold {
                let before = self.holds.remove(&change.id);
                let hold = Hold::evolve(before, *wallet_id, event).unwrap();
                self.holds.insert(change.id, hold);
            }
        }
        if let Some(reversed) = events.first().and_then(|(_, event)| event.effect().reverses) {
            *self.reversed.entry(reversed).or_default() += events[0].1.amount();
        }
        if let Some(transaction) = Transaction::of(transaction_id, &events) {
            self.transactions.insert(transaction_id, transaction);
        }
    }

    fn total(&self) -> i128 {
        self.wallets
            .values()
            .map(|wallet| i128::from(wallet.balance))
            .sum()
    }
}

fn wallet_id() -> impl Strategy<Value = WalletId> {
    (0..5u128).prop_map(|n| WalletId(Uuid::from_u128(n)))
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![4 => 1..=1000i64, 1 => (MAX_MINOR_UNITS - 2)..=MAX_MINOR_UNITS]
        .prop_map(|n| Amount::new(n).unwrap())
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Freeze),
        3 => Just(Change::Unfreeze),
        1 => Just(Change::Close),
        2 => (0..2_000i64).prop_map(Change::SetOverdraftLimit),
        1 => Just(Change::ErasePersonalData),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let currency = prop_oneof![5 => Just("EUR"), 1 => Just("JPY")].prop_map(|c| c.parse().unwrap());
    let movement = || {
        (wallet_id(), amount(), prop::option::weighted(0.1, 1..5i64)).prop_map(
            |(wallet_id, amount, expected_version)| Movement {
                wallet_id,
                amount,
                reference: None,
                external_id: None,
                personal: None,
                expected_version,
            },
        )
    };
    prop_oneof![
        2 => (wallet_id(), currency, prop::option::of(amount()), prop::option::of(0..3u8)).prop_map(
            |(wallet_id, currency, initial_balance, external)| Command::Create(CreateWallet {
                wallet_id,
                external_id: external.map(|n| n.to_string()),
                currency,
                initial_balance,
                personal: None,
            })
        ),
        3 => movement().prop_map(Command::Credit),
        3 => movement().prop_map(Command::Debit),
        2 => (0..6u128, wallet_id(), amount(), prop::option::of(1..30i64)).prop_map(
            |(id, wallet_id, amount, expires_at)| Command::PlaceHold(PlaceHold {
                hold_id: HoldId(Uuid::from_u128(id)),
                wallet_id,
                amount,
                expires_at,
                reference: None,
                personal: None,
                expected_version: None,
            })
        ),
        2 => (0..6u128, prop::option::of(amount()), prop::option::of(wallet_id())).prop_map(
            |(id, amount, to)| Command::CaptureHold(CaptureHold {
                hold_id: HoldId(Uuid::from_u128(id)),
                amount,
                to,
                reference: None,
                external_id: None,
                personal: None,
                expected_version: None,
            })
        ),
        1 => (0..6u128).prop_map(|id| Command::ReleaseHold(ReleaseHold {
            hold_id: HoldId(Uuid::from_u128(id)),
            reference: None,
            personal: None,
            expected_version: None,
        })),
        3 => (0..30u128, prop::option::of(amount())).prop_map(|(id, amount)| Command::Reverse(Reverse {
            transaction_id: Uuid::from_u128(id),
            amount,
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        })),
        2 => (wallet_id(), change()).prop_map(|(wallet_id, change)| Command::Change(ChangeWallet {
            wallet_id,
            change,
            personal: None,
            expected_version: None,
        })),
        4 => (wallet_id(), wallet_id(), amount()).prop_map(|(from, to, amount)| Command::Transfer(Transfer {
            from,
            to,
            amount,
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        })),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_the_books_stay_right(commands in prop::collection::vec(command(), 0..80)) {
        let mut journal = Journal::default();
        let mut from_outside = 0i128;
        for command in &commands {
            let before = journal.total();
            match journal.run(command) {
                Ok(decided) => {
                    let change: i128 = decided.iter().map(|d| i128::from(d.event.effect().balance)).sum();
                    let two = decided.len() == 2;
                    prop_assert!(!two || change == 0, "what moves between wallets conserves money");
                    from_outside += change;
                }
                Err(_) => prop_assert_eq!(journal.total(), before, "a rejection changes nothing"),
            }
        }
        prop_assert_eq!(journal.total(), from_outside);
        for (id, events) in &journal.events {
            let folded = events.iter().fold(None, |wallet, event| Wallet::evolve(wallet, *id, event));
            let wallet = journal.wallets.get(id);
            prop_assert_eq!(folded.as_ref(), wallet, "the state is the fold of the events");
            let wallet = wallet.unwrap();
            prop_assert_eq!(wallet.version, events.len() as i64, "versions are contiguous from 1");
            prop_assert!(
                wallet.balance - wallet.held >= -wallet.overdraft_limit,
                "what is available covers the limit"
            );
            let held: i64 = journal
                .holds
                .values()
                .filter(|hold| hold.wallet_id == *id && hold.status == HoldStatus::Open)
                .map(|hold| hold.amount)
                .sum();
            prop_assert_eq!(wallet.held, held, "what is held is the sum of the open holds");
            prop_assert!(
                [wallet.balance, wallet.held, wallet.overdraft_limit, wallet.available()]
                    .iter()
                    .all(|amount| (-MAX_BALANCE..=MAX_BALANCE).contains(amount)),
                "every amount of a wallet is one that doubles hold"
            );
            prop_assert!(wallet.status != Status::Closed || (wallet.balance, wallet.held) == (0, 0));
        }
        for (id, reversed) in &journal.reversed {
            let moved = journal.transactions[id].movement.unwrap().amount;
            prop_assert!(*reversed <= moved, "no more comes back than went");
        }
    }

    #[test]
    fn every_payload_reads_back_as_it_was_written(commands in prop::collection::vec(command(), 0..40)) {
        let mut journal = Journal::default();
        for command in &commands {
            for Decided { event, .. } in journal.run(command).unwrap_or_default() {
                let bytes = event.encode().unwrap();
                let read = EventData::decode(event.event_type(), event.schema_version(), &bytes).unwrap();
                prop_assert_eq!(read, event);
            }
        }
    }
}

fn created(journal: &mut Journal, n: u128, currency: &str, initial: i64) -> WalletId {
    let wallet_id = WalletId(Uuid::from_u128(n));
    journal
        .run(&Command::Create(CreateWallet {
            wallet_id,
            external_id: None,
            currency: currency.parse().unwrap(),
            initial_balance: Amount::new(initial).ok(),
            personal: None,
        }))
        .unwrap();
    wallet_id
}

fn movement(wallet_id: WalletId, amount: i64) -> Movement {
    Movement {
        wallet_id,
        amount: Amount::new(amount).unwrap(),
        reference: None,
        external_id: None,
        personal: None,
        expected_version: None,
    }
}

fn hold_of(n: u128, wallet_id: WalletId, amount: i64) -> Command {
    Command::PlaceHold(PlaceHold {
        hold_id: HoldId(Uuid::from_u128(n)),
        wallet_id,
        amount: Amount::new(amount).unwrap(),
        expires_at: None,
        reference: None,
        personal: None,
        expected_version: None,
    })
}

/// Whatever adds to a balance or to what is held stops at the largest integer that every JSON reader keeps.
#[test]
fn nothing_grows_beyond_the_integers_that_doubles_hold() {
    let mut journal = Journal::default();
    let full = created(&mut journal, 1, "EUR", MAX_MINOR_UNITS);
    let rich = created(&mut journal, 2, "EUR", MAX_MINOR_UNITS);
    let room = MAX_BALANCE - MAX_MINOR_UNITS;
    let overflow = |id| Err(Rejection::BalanceOverflow(id));
    let transfer = |amount| {
        Command::Transfer(Transfer {
            from: rich,
            to: full,
            amount: Amount::new(amount).unwrap(),
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        })
    };
    let capture = |n, amount| {
        Command::CaptureHold(CaptureHold {
            hold_id: HoldId(Uuid::from_u128(n)),
            amount: Amount::new(amount).ok(),
            to: Some(full),
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        })
    };
    assert_eq!(
        journal.run(&Command::Credit(movement(full, room + 1))),
        overflow(full)
    );
    assert_eq!(journal.run(&transfer(room + 1)), overflow(full));
    journal.run(&hold_of(1, rich, room + 1)).unwrap();
    assert_eq!(journal.run(&capture(1, room + 1)), overflow(full));
    journal.run(&capture(1, room)).unwrap();
    assert_eq!(journal.wallets[&full].balance, MAX_BALANCE);
    // A debit is taken back into a wallet that has been filled meanwhile.
    journal.run(&Command::Debit(movement(full, 1))).unwrap();
    let debit = Uuid::from_u128(journal.transactions.len() as u128 - 1);
    journal.run(&Command::Credit(movement(full, 1))).unwrap();
    let reversal = Command::Reverse(Reverse {
        transaction_id: debit,
        amount: None,
        reference: None,
        external_id: None,
        personal: None,
        expected_version: None,
    });
    assert_eq!(journal.run(&reversal), overflow(full));

    let limit = |limit| {
        Command::Change(ChangeWallet {
            wallet_id: full,
            change: Change::SetOverdraftLimit(limit),
            personal: None,
            expected_version: None,
        })
    };
    assert_eq!(journal.run(&limit(MAX_BALANCE + 1)), overflow(full));
    journal.run(&limit(MAX_BALANCE)).unwrap();
    // With the overdraft twice as much could be held.
    journal.run(&hold_of(2, full, MAX_MINOR_UNITS)).unwrap();
    journal.run(&hold_of(3, full, room)).unwrap();
    assert_eq!(journal.run(&hold_of(4, full, 1)), overflow(full));
    // And the balance stops on its way down: it may be spent, it may not be shown.
    let broke = created(&mut journal, 3, "EUR", 0);
    let wallet = journal.wallets.get_mut(&broke).unwrap();
    (wallet.balance, wallet.overdraft_limit) = (-MAX_BALANCE, MAX_BALANCE + 1);
    assert_eq!(journal.run(&Command::Debit(movement(broke, 1))), overflow(broke));
}

/// In a journal from before the bound.
#[test]
fn a_balance_beyond_the_bound_may_shrink() {
    let mut journal = Journal::default();
    let id = created(&mut journal, 1, "EUR", 1);
    let other = created(&mut journal, 2, "EUR", 0);
    let beyond = MAX_BALANCE + 1_000;
    journal.wallets.get_mut(&id).unwrap().balance = beyond;
    journal.run(&Command::Debit(movement(id, 1))).unwrap();
    journal
        .run(&Command::Transfer(Transfer {
            from: id,
            to: other,
            amount: Amount::new(1).unwrap(),
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        }))
        .unwrap();
    assert_eq!(journal.wallets[&id].balance, beyond - 2);
    assert_eq!(
        journal.run(&Command::Credit(movement(id, 1))),
        Err(Rejection::BalanceOverflow(id))
    );
    journal.run(&hold_of(1, id, 500)).unwrap();
    let capture = Command::CaptureHold(CaptureHold {
        hold_id: HoldId(Uuid::from_u128(1)),
        amount: None,
        to: None,
        reference: None,
        external_id: None,
        personal: None,
        expected_version: None,
    });
    journal.run(&capture).unwrap();
    assert_eq!(journal.wallets[&id].balance, beyond - 502);
}

#[test]
fn a_debit_may_use_the_overdraft_limit_but_not_what_is_held() {
    let mut journal = Journal::default();
    let id = created(&mut journal, 1, "EUR", 100);
    let wallet = journal.wallets.get_mut(&id).unwrap();
    (wallet.held, wallet.overdraft_limit) = (30, 10);
    let refused = journal.run(&Command::Debit(movement(id, 81)));
    let amount = Amount::new(81).unwrap();
    assert_eq!(
        refused,
        Err(Rejection::InsufficientFunds {
            wallet_id: id,
            available: 70,
            amount
        })
    );
    assert!(journal.run(&Command::Debit(movement(id, 80))).is_ok());
}

#[test]
fn a_transfer_between_currencies_is_rejected() {
    let mut journal = Journal::default();
    let (from, to) = (
        created(&mut journal, 1, "EUR", 10),
        created(&mut journal, 2, "JPY", 10),
    );
    let amount = Amount::new(1).unwrap();
    let transfer = Transfer {
        from,
        to,
        amount,
        reference: None,
        external_id: None,
        personal: None,
        expected_version: None,
    };
    let refused = journal.run(&Command::Transfer(transfer)).unwrap_err();
    assert!(matches!(refused, Rejection::CurrencyMismatch { .. }));
}

#[test]
fn a_newer_event_asks_for_a_newer_version_and_a_broken_one_is_corrupt() {
    let newer = EventData::decode("wallet.credited", 2, b"{}").unwrap_err();
    assert!(matches!(
        newer,
        DecodeError::NeedsNewerVersion {
            schema_version: 2,
            ..
        }
    ));
    let unknown = EventData::decode("wallet.gifted", 1, b"{}").unwrap_err();
    assert!(matches!(unknown, DecodeError::NeedsNewerVersion { .. }));
    let broken = EventData::decode("wallet.credited", 1, b"{}").unwrap_err();
    assert!(matches!(broken, DecodeError::Corrupt { .. }));
}

/// Payloads of every version ever written, as they stand in journals. Never edit a file here; add one for
/// each new version.
#[test]
fn payloads_of_every_version_stay_readable() {
    let golden = [
        ("hold.placed", 1, include_str!("golden/hold.placed.v1.json")),
        ("hold.captured", 1, include_str!("golden/hold.captured.v1.json")),
        ("hold.released", 1, include_str!("golden/hold.released.v1.json")),
        ("hold.expired", 1, include_str!("golden/hold.expired.v1.json")),
        (
            "reversal.debited",
            1,
            include_str!("golden/reversal.debited.v1.json"),
        ),
        (
            "reversal.credited",
            1,
            include_str!("golden/reversal.credited.v1.json"),
        ),
        ("wallet.frozen", 1, include_str!("golden/wallet.frozen.v1.json")),
        (
            "wallet.unfrozen",
            1,
            include_str!("golden/wallet.unfrozen.v1.json"),
        ),
        ("wallet.closed", 1, include_str!("golden/wallet.closed.v1.json")),
        (
            "wallet.overdraft_limit_set",
            1,
            include_str!("golden/wallet.overdraft_limit_set.v1.json"),
        ),
        (
            "wallet.personal_data_erased",
            1,
            include_str!("golden/wallet.personal_data_erased.v1.json"),
        ),
        ("wallet.created", 1, include_str!("golden/wallet.created.v1.json")),
        (
            "wallet.credited",
            1,
            include_str!("golden/wallet.credited.v1.json"),
        ),
        ("wallet.debited", 1, include_str!("golden/wallet.debited.v1.json")),
        (
            "transfer.debited",
            1,
            include_str!("golden/transfer.debited.v1.json"),
        ),
        (
            "wallet.credited",
            1,
            include_str!("golden/wallet.credited.v1.external_id.json"),
        ),
        (
            "transfer.debited",
            1,
            include_str!("golden/transfer.debited.v1.external_id.json"),
        ),
        (
            "hold.captured",
            1,
            include_str!("golden/hold.captured.v1.external_id.json"),
        ),
        (
            "reversal.debited",
            1,
            include_str!("golden/reversal.debited.v1.external_id.json"),
        ),
        (
            "transfer.credited",
            1,
            include_str!("golden/transfer.credited.v1.json"),
        ),
    ];
    for (event_type, version, text) in golden {
        let text = text.trim_end();
        let event = EventData::decode(event_type, version, text.as_bytes()).unwrap();
        assert_eq!(event.event_type(), event_type);
        if version == event.schema_version() {
            assert_eq!(String::from_utf8(event.encode().unwrap()).unwrap(), text);
        }
    }
    for kind in EventKind::ALL {
        for version in 1..=kind.schema_version() {
            assert!(
                golden
                    .iter()
                    .any(|(name, v, _)| *name == kind.as_str() && *v == version),
                "{} version {version} has no golden file",
                kind.as_str()
            );
        }
    }
}
