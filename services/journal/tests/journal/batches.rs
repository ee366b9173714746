//! Batches: many commands under one key, in one transaction.

use wallex_domain::{Amount, Change, ChangeWallet, Command, CreateWallet, Transfer, WalletId};
use wallex_journal::append::Reply;

use crate::harness::*;

fn paid(from: WalletId, to: WalletId, amount: i64) -> Command {
    Command::Transfer(Transfer {
        from,
        to,
        amount: Amount::new(amount).unwrap(),
        reference: None,
        external_id: None,
        personal: None,
        expected_version: None,
    })
}

fn created(n: u128, external_id: &str) -> Command {
    Command::Create(CreateWallet {
        wallet_id: wallet(n),
        external_id: Some(external_id.to_owned()),
        currency: "EUR".parse().unwrap(),
        initial_balance: Amount::new(50).ok(),
        personal: None,
    })
}

const BATCH_DONE: (u16, bool) = (200, false);

#[tokio::test]
async fn an_atomic_batch_happens_whole_or_leaves_no_trace() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, hold("h", 1, a, 100, None)).await;
    let transaction = journal.last_transaction(b).await;
    let before = journal.events().await;
    let everything = || {
        let reversal = reverse("", transaction, Some(5)).work.items()[0].command.clone();
        vec![
            created(99, "x"),
            paid(a, b, 300),
            place_hold(2, b, 50, None),
            capture_hold(1, Some(60), Some(wallet(99))),
            reversal,
            Command::Change(ChangeWallet {
                wallet_id: wallet(99),
                change: Change::ErasePersonalData,
                personal: None,
                expected_version: None,
            }),
        ]
    };
    let mut doomed = everything();
    doomed.push(Command::Debit(movement(a, 10_000)));
    // The other requests in the transaction are unaffected and see nothing of it.
    let replies = run(
        &mut writer,
        &[
            batch("doomed", true, doomed),
            credit("beside", a, 1),
            batch("fine", true, everything()),
        ],
    )
    .await;
    assert_eq!(
        (status(&replies[0]), body(&replies[0])),
        ((422, false), r#"{"index":6}"#.to_owned())
    );
    assert_eq!(
        (status(&replies[1]), status(&replies[2])),
        (DONE, BATCH_DONE),
        "{replies:?}"
    );
    assert_eq!(journal.balance(a).await, 1_000 + 1 - 300 - 60);
    assert_eq!(journal.held(b).await, (1_000 + 300 - 5, 50));
    assert_eq!(journal.balance(wallet(99)).await, 50 + 60);
    let kinds = journal.events().await.len() - before.len();
    assert_eq!(
        kinds,
        1 + 1 + 2 + 1 + 2 + 1 + 1,
        "only the two that stand have events"
    );
    journal.assert_whole().await;

    // The rejection is an answer like any other: stored under its key.
    let again = run_one(&mut writer, batch("fine", true, everything())).await;
    assert_eq!(status(&again), (200, true));
}

#[tokio::test]
async fn a_batch_that_is_not_atomic_isolates_rejections() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, b) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, hold("h", 1, a, 10, None)).await;
    let commands = [
        paid(a, b, 400),
        paid(a, b, 700),
        paid(a, wallet(777), 1),
        paid(wallet(777), b, 1),
        capture_hold(1, None, Some(wallet(777))),
        paid(b, a, 50),
        capture_hold(5, None, None),
    ];
    let done = run_one(&mut writer, batch("k", false, commands.clone())).await;
    assert_eq!(body(&done), r#"{"statuses":[201,422,422,422,422,201,422]}"#);
    let again = run_one(&mut writer, batch("k", false, commands)).await;
    assert_eq!((status(&again), body(&again)), ((200, true), body(&done)));
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (650, 1_350));
    journal.assert_whole().await;
}

#[tokio::test]
async fn commands_of_a_batch_see_the_ones_before_them() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let commands = [
        created(1, "one"),
        created(2, "two"),
        paid(wallet(1), wallet(2), 50),
        place_hold(1, wallet(2), 100, None),
        capture_hold(1, Some(10), Some(wallet(1))),
    ];
    let done = run_one(&mut writer, batch("k", true, commands)).await;
    assert_eq!(body(&done), r#"{"statuses":[201,201,201,201,201]}"#);
    assert_eq!(
        (journal.balance(wallet(1)).await, journal.balance(wallet(2)).await),
        (10, 90)
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_atomic_batch_about_nothing_keeps_its_key_free() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let about_nobody = || batch("k", true, [Command::Credit(movement(wallet(1), 5))]);
    let refused = run_one(&mut writer, about_nobody()).await;
    assert!(matches!(refused, Reply::NotFound(_)), "{refused:?}");
    run_one(&mut writer, create("c", wallet(1), 0)).await;
    assert_eq!(status(&run_one(&mut writer, about_nobody()).await), BATCH_DONE);
    assert_eq!(journal.balance(wallet(1)).await, 5);
}

#[tokio::test]
async fn a_thousand_commands_are_one_transaction_also_for_two_replicas_at_once() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let (a, b) = two_partitions(&mut one, &journal).await;
    let commands = || (0..1_000).map(|n| if n % 2 == 0 { paid(a, b, 2) } else { paid(b, a, 1) });
    let (left, right) = tokio::join!(
        run_one(&mut one, batch("k", true, commands())),
        run_one(&mut two, batch("k", true, commands()))
    );
    let mut statuses = [status(&left), status(&right)];
    statuses.sort_unstable();
    assert_eq!(statuses, [(200, false), (200, true)]);
    assert_eq!(body(&left), body(&right));
    assert_eq!((journal.balance(a).await, journal.balance(b).await), (500, 1_500));
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_batch_taken_back_leaves_holds_due_for_whoever_comes_next() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let expires_at = journal.now().await + 500_000;
    run_one(&mut writer, hold("h", 1, wallet(1), 100, Some(expires_at))).await;
    wallex_testing::eventually(wallex_testing::DEADLINE, "the hold's time", async || {
        (journal.now().await > expires_at).then_some(())
    })
    .await;
    let doomed = batch("doomed", true, [Command::Debit(movement(wallet(1), 101))]);
    let replies = run(&mut writer, &[doomed, debit("d", wallet(1), 100)]).await;
    assert_eq!(
        (status(&replies[0]).0, status(&replies[1])),
        (422, DONE),
        "{replies:?}"
    );
    assert_eq!(
        journal.history(wallet(1)).await,
        ["wallet.created", "hold.placed", "hold.expired", "wallet.debited"]
    );
    journal.assert_whole().await;
}
