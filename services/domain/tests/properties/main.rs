//! Properties of `decide` and `evolve` over random streams of commands: money is always conserved, no wallet goes below
//! its limit, a hold ends once, no reversal takes back more than was moved, versions are contiguous, and a balance is
//! the fold of the wallet's events.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod commands;
mod journal;
mod payloads;
mod rules;

use proptest::prelude::*;
use wallex_domain::*;

use crate::commands::command;
use crate::journal::Journal;

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
