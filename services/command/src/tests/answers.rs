//! Answers are stored with their commands and replayed unchanged: a client that asks a second time compares them.

use std::collections::BTreeSet;

use uuid::Uuid;
use wallex_domain::{
    Amount, Command, Hold, HoldId, HoldStatus, Position, Rejection, Status, Wallet, WalletId,
};
use wallex_journal::append::{Answer, Committed, Work};
use wallex_runtime::http::Code;

use super::requests::{self, Routes};
use crate::RENDER;
use crate::commands::COMMANDS;

const WALLET: WalletId = WalletId(Uuid::from_u128(1));
const OTHER: WalletId = WalletId(Uuid::from_u128(2));
const HOLD: HoldId = HoldId(Uuid::from_u128(3));
const TRANSACTION: Uuid = Uuid::from_u128(4);
/// 2023-11-14T22:13:20.120450Z
const RECORDED_AT: i64 = 1_700_000_000_120_450;

fn wallet(id: WalletId, status: Status) -> Wallet {
    Wallet {
        id,
        currency: "EUR".parse().unwrap(),
        balance: 7_250,
        held: 1_000,
        overdraft_limit: 500,
        status,
        version: 8,
    }
}

/// Possible results of a command in the journal. `pair`: it moved money between two wallets.
fn committed(status: HoldStatus, has_hold: bool, expires_at: Option<i64>, pair: bool) -> Committed {
    let place = |partition, seq| Position::at(partition, seq);
    let mut wallets = vec![(wallet(WALLET, Status::Active), place(3, 1_042))];
    if pair {
        wallets.push((wallet(OTHER, Status::Frozen), place(7, 88)));
    }
    Committed {
        transaction_id: TRANSACTION,
        recorded_at: RECORDED_AT,
        amount: 250,
        wallets,
        hold: has_hold.then_some(Hold {
            id: HOLD,
            wallet_id: WALLET,
            amount: 1_000,
            expires_at,
            status,
        }),
    }
}

/// Every result that a successful command may be answered with.
fn outcomes(command: &Command) -> Vec<Committed> {
    let alone = || committed(HoldStatus::Open, false, None, false);
    let pair = || committed(HoldStatus::Open, false, None, true);
    match command {
        Command::Create(_) | Command::Credit(_) | Command::Debit(_) | Command::Change(_) => vec![alone()],
        Command::Transfer(_) => vec![pair()],
        Command::PlaceHold(place) => vec![committed(HoldStatus::Open, true, place.expires_at, false)],
        Command::CaptureHold(_) => vec![
            committed(HoldStatus::Captured, true, None, false),
            committed(HoldStatus::Captured, true, None, true),
        ],
        Command::ReleaseHold(_) => vec![committed(HoldStatus::Released, true, None, false)],
        Command::ExtendHold(extend) => {
            vec![committed(HoldStatus::Open, true, Some(extend.expires_at), false)]
        }
        Command::Reverse(_) => vec![alone(), pair()],
        Command::ExpireHolds(_) => Vec::new(),
    }
}

fn rejections() -> Vec<Rejection> {
    let amount = Amount::new(250).unwrap();
    vec![
        Rejection::WalletExists(WALLET),
        Rejection::ExternalIdTaken {
            external_id: "psp-9041".to_owned(),
            holder: OTHER,
        },
        Rejection::MovementTaken {
            external_id: "psp-9041".to_owned(),
            transaction_id: TRANSACTION,
        },
        Rejection::WalletNotFound(WALLET),
        Rejection::InsufficientFunds {
            wallet_id: WALLET,
            available: 100,
            amount,
        },
        Rejection::CurrencyMismatch {
            from: WALLET,
            from_currency: "EUR".parse().unwrap(),
            to: OTHER,
            to_currency: "USD".parse().unwrap(),
        },
        Rejection::SameWallet(WALLET),
        Rejection::BalanceOverflow(WALLET),
        Rejection::VersionMismatch {
            wallet_id: WALLET,
            version: 8,
            expected: 7,
        },
        Rejection::HoldExists(HOLD),
        Rejection::HoldNotFound(HOLD),
        Rejection::HoldClosed {
            hold_id: HOLD,
            status: HoldStatus::Released,
        },
        Rejection::CaptureTooLarge {
            hold_id: HOLD,
            held: 100,
            amount,
        },
        Rejection::TooManyHolds {
            wallet_id: WALLET,
            limit: 100,
        },
        Rejection::ExpiryPassed,
        Rejection::ExpiryNotLater(HOLD),
        Rejection::TransactionNotFound(TRANSACTION),
        Rejection::NotReversible(TRANSACTION),
        Rejection::ReversalTooLarge {
            transaction_id: TRANSACTION,
            left: 100,
        },
        Rejection::WalletFrozen(WALLET),
        Rejection::WalletNotFrozen(WALLET),
        Rejection::WalletClosed(WALLET),
        Rejection::WalletNotEmpty {
            wallet_id: WALLET,
            balance: 7_250,
            held: 1_000,
        },
        Rejection::OverdraftInUse {
            wallet_id: WALLET,
            available: -300,
            limit: 100,
        },
    ]
}

fn line(title: &str, answer: &Answer) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
    format!(
        "# {title}\n{} {} {} {}\n{}\n",
        answer.status,
        or_none(&answer.etag),
        or_none(&answer.position),
        or_none(&answer.location),
        String::from_utf8_lossy(&answer.body),
    )
}

/// Each answer has three lines: what it answers; status, `ETag`, `Wallex-Position` and `Location`; the body.
#[tokio::test]
async fn stored_answers_are_fixed() {
    let routes = Routes::new();
    let mut text = String::new();
    let (mut done, mut last) = (Vec::new(), None);
    for sent in requests::all() {
        let Work::One(item) = routes.send(&sent).await.work else {
            continue;
        };
        for committed in outcomes(&item.command) {
            let answer = (RENDER.one)(&item.command, Ok(&committed));
            text.push_str(&line(&sent.title, &answer));
            done.push(answer);
        }
        last = Some(item.command);
    }
    let command = last.unwrap();
    let mut rejected = Vec::new();
    for rejection in rejections() {
        let answer = (RENDER.one)(&command, Err(&rejection));
        text.push_str(&line("rejected", &answer));
        rejected.push(answer);
    }
    text.push_str(&line(
        "an atomic batch, rejected",
        &(RENDER.batch)(Err((1, &rejected[0]))),
    ));
    let mixed = [done[0].clone(), rejected[0].clone(), done[5].clone()];
    text.push_str(&line("a batch, done in part", &(RENDER.batch)(Ok(&mixed))));
    text.push_str(&line("a batch, nothing done", &(RENDER.batch)(Ok(&mixed[1..2]))));
    insta::assert_snapshot!("answers", text);
}

#[test]
fn every_rejection_has_a_stored_answer_here() {
    let here: BTreeSet<&str> = rejections()
        .iter()
        .map(|rejection| crate::problem::rejection(rejection).code())
        .collect();
    // Never decided: refused earlier.
    let described = COMMANDS.iter().flat_map(|command| command.rejections);
    let described: BTreeSet<&str> = described
        .filter(|code| **code != Code::CurrencyUnknown)
        .map(|code| code.as_str())
        .collect();
    assert_eq!(here, described);
}
