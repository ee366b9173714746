//! Single rules.

use uuid::Uuid;
use wallex_domain::*;

use crate::commands::extension;
use crate::journal::Journal;

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

/// Whatever adds to a balance or to held money stops at the largest integer that every JSON reader keeps exact.
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
    // A debit is reversed into a wallet that has been filled meanwhile.
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
    // With the overdraft, twice as much could be held.
    journal.run(&hold_of(2, full, MAX_MINOR_UNITS)).unwrap();
    journal.run(&hold_of(3, full, room)).unwrap();
    assert_eq!(journal.run(&hold_of(4, full, 1)), overflow(full));
    // The balance is bounded downwards, too: the money could be spent, but the balance could not be shown.
    let broke = created(&mut journal, 3, "EUR", 0);
    let wallet = journal.wallets.get_mut(&broke).unwrap();
    (wallet.balance, wallet.overdraft_limit) = (-MAX_BALANCE, MAX_BALANCE + 1);
    assert_eq!(journal.run(&Command::Debit(movement(broke, 1))), overflow(broke));
}

/// In a journal that is older than the bound.
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
fn a_hold_is_extended_while_it_is_open_and_only_to_a_later_time() {
    let mut journal = Journal::default();
    let id = created(&mut journal, 1, "EUR", 100);
    let hold_id = HoldId(Uuid::from_u128(1));
    let mut place = hold_of(1, id, 30);
    if let Command::PlaceHold(place) = &mut place {
        place.expires_at = Some(50);
    }
    journal.run(&place).unwrap();
    journal.run(&hold_of(2, id, 30)).unwrap();
    for not_later in [1, 49, 50] {
        assert_eq!(
            journal.run(&extension(1, not_later)),
            Err(Rejection::ExpiryNotLater(hold_id))
        );
    }
    assert_eq!(
        journal.run(&extension(2, 1_000)),
        Err(Rejection::ExpiryNotLater(HoldId(Uuid::from_u128(2)))),
        "a hold without an expiry never expires"
    );
    let freeze = Command::Change(ChangeWallet {
        wallet_id: id,
        change: Change::Freeze,
        personal: None,
        expected_version: None,
    });
    journal.run(&freeze).unwrap();
    let before = journal.wallets[&id].clone();
    journal.run(&extension(1, 51)).unwrap();
    let after = Wallet {
        version: before.version + 1,
        ..before
    };
    assert_eq!(journal.wallets[&id], after, "nothing moves");
    assert_eq!(journal.holds[&hold_id].expires_at, Some(51));
    // At its first expiry it is still open; at the second one it has ended.
    journal.now = 49;
    journal.run(&extension(1, 60)).unwrap();
    journal.now = 59;
    assert_eq!(
        journal.run(&extension(1, 70)),
        Err(Rejection::HoldClosed {
            hold_id,
            status: HoldStatus::Expired
        })
    );
}

#[test]
fn what_is_said_about_a_wallet_changes_until_it_is_closed() {
    let mut journal = Journal::default();
    let id = created(&mut journal, 1, "EUR", 0);
    let details = Details {
        owner: true,
        ..Details::default()
    };
    let change = |change| {
        Command::Change(ChangeWallet {
            wallet_id: id,
            change,
            personal: None,
            expected_version: None,
        })
    };
    journal.run(&change(Change::Freeze)).unwrap();
    let before = journal.wallets[&id].clone();
    let decided = journal.run(&change(Change::Details(details))).unwrap();
    assert_eq!(decided[0].event.effect().details, details);
    let after = Wallet {
        version: before.version + 1,
        ..before
    };
    assert_eq!(journal.wallets[&id], after, "nothing moves");
    journal.run(&change(Change::ErasePersonalData)).unwrap();
    journal.run(&change(Change::Details(details))).unwrap();
    journal.run(&change(Change::Close)).unwrap();
    assert_eq!(
        journal.run(&change(Change::Details(details))),
        Err(Rejection::WalletClosed(id))
    );
}

#[test]
fn an_expiry_that_comes_closer_does_not_follow() {
    let (id, other) = (WalletId(Uuid::from_u128(1)), WalletId(Uuid::from_u128(2)));
    let hold = |expires_at, status| Hold {
        id: HoldId(Uuid::from_u128(1)),
        wallet_id: id,
        amount: 30,
        expires_at,
        status,
    };
    let event = EventData::HoldExtended(HoldExtended {
        hold_id: HoldId(Uuid::from_u128(1)),
        expires_at: 50,
        currency: "EUR".parse().unwrap(),
        balance: 100,
        reference: None,
        personal: None,
    });
    let extended = hold(Some(50), HoldStatus::Open);
    assert_eq!(
        Hold::evolve(Some(hold(Some(49), HoldStatus::Open)), id, &event),
        Some(extended)
    );
    for (before, wallet_id) in [
        (hold(Some(50), HoldStatus::Open), id),
        (hold(None, HoldStatus::Open), id),
        (hold(Some(49), HoldStatus::Captured), id),
        (hold(Some(49), HoldStatus::Open), other),
    ] {
        assert_eq!(Hold::evolve(Some(before), wallet_id, &event), None);
    }
    assert_eq!(Hold::evolve(None, id, &event), None);
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
