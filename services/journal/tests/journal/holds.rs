//! Holds: money set aside, captured or released once, and never after expiry.

use wallex_domain::{Change, Command};
use wallex_journal::hold::{Due, DueWallets};
use wallex_testing::eventually;

use crate::harness::*;

const SECOND: i64 = 1_000_000;

#[tokio::test]
async fn held_money_stays_in_the_balance_and_cannot_be_spent() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    assert_eq!(
        status(&run_one(&mut writer, hold("h", 1, wallet(1), 70, None)).await),
        DONE
    );
    assert_eq!(journal.held(wallet(1)).await, (100, 70));
    assert_eq!(
        status(&run_one(&mut writer, debit("d", wallet(1), 31)).await),
        REJECTED
    );
    assert_eq!(
        status(&run_one(&mut writer, debit("e", wallet(1), 30)).await),
        DONE
    );
    assert_eq!(
        status(&run_one(&mut writer, hold("h2", 2, wallet(1), 1, None)).await),
        REJECTED
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_partial_capture_takes_its_part_and_gives_the_rest_back() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (from, to) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, hold("h", 1, from, 700, None)).await;
    let too_much = run_one(&mut writer, capture("c0", 1, Some(701), None)).await;
    assert_eq!(status(&too_much), REJECTED);
    let captured = run_one(&mut writer, capture("c1", 1, Some(300), Some(to))).await;
    assert_eq!(status(&captured), DONE);
    assert_eq!(journal.held(from).await, (700, 0));
    assert_eq!(journal.balance(to).await, 1_300);
    // A hold ends only once.
    for again in [capture("c2", 1, None, None), release("r", 1)] {
        assert!(body(&run_one(&mut writer, again).await).contains("already captured"));
    }
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_hold_placed_and_captured_in_one_batch_is_known_to_both() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let replies = run(
        &mut writer,
        &[
            create("c", wallet(1), 100),
            hold("h", 1, wallet(1), 60, None),
            capture("k", 1, None, None),
            hold("h2", 1, wallet(1), 1, None),
        ],
    )
    .await;
    let statuses: Vec<_> = replies.iter().map(status).collect();
    assert_eq!(statuses, [DONE, DONE, DONE, REJECTED], "{replies:?}");
    assert_eq!(journal.held(wallet(1)).await, (40, 0));
    assert_eq!(journal.hold_status(1).await, "captured");
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_expired_hold_cannot_be_captured_though_nobody_wrote_its_expiry() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let expires_at = journal.now().await + SECOND;
    run_one(&mut writer, hold("h", 1, wallet(1), 100, Some(expires_at))).await;
    let past = run_one(&mut writer, hold("p", 2, wallet(1), 1, Some(1))).await;
    assert!(body(&past).contains("not in the future"));
    eventually(wallex_testing::DEADLINE, "the hold's time", async || {
        (journal.now().await > expires_at).then_some(())
    })
    .await;
    assert_eq!(journal.hold_status(1).await, "open", "nobody has ended it yet");
    let late = run_one(&mut writer, capture("k", 1, None, None)).await;
    assert!(body(&late).contains("already expired"), "{late:?}");
    // The rejected command has expired the hold, and the money is available.
    assert_eq!(journal.held(wallet(1)).await, (100, 0));
    assert_eq!(
        status(&run_one(&mut writer, debit("d", wallet(1), 100)).await),
        DONE
    );
    assert_eq!(
        journal.history(wallet(1)).await,
        ["wallet.created", "hold.placed", "hold.expired", "wallet.debited"]
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn due_holds_end_in_the_order_of_their_time_before_anything_else() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let now = journal.now().await;
    for (n, after) in [(1, 3), (2, 1), (3, 2)] {
        let key = format!("h{n}");
        run_one(
            &mut writer,
            hold(&key, n, wallet(1), 10, Some(now + SECOND + after)),
        )
        .await;
    }
    run_one(
        &mut writer,
        hold("later", 4, wallet(1), 10, Some(now + 3_600 * SECOND)),
    )
    .await;
    let mut due = DueWallets::default();
    eventually(wallex_testing::DEADLINE, "three due holds", async || {
        let found = due.find(&journal.pool, 3).await.unwrap();
        (found.wallets.iter().eq([&wallet(1)]) && found.more).then_some(())
    })
    .await;
    let expiry = upkeep(Command::ExpireHolds(wallet(1)));
    run(&mut writer, &[expiry.clone(), expiry]).await;
    let expired: Vec<uuid::Uuid> = journal
        .events()
        .await
        .into_iter()
        .filter(|event| event.event_type == "hold.expired")
        .map(|event| {
            assert_eq!(event.actor, "wallex");
            event.decode().unwrap().effect().hold.unwrap().id.0
        })
        .collect();
    assert_eq!(expired, [2, 3, 1].map(|n| hold_id(n).0));
    assert_eq!(journal.held(wallet(1)).await, (100, 10));
    assert_eq!(due.find(&journal.pool, 100).await.unwrap(), Due::default());
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_replicas_that_capture_one_hold_take_it_once() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let (from, to) = two_partitions(&mut one, &journal).await;
    for n in 1..=20 {
        run_one(&mut one, hold(&format!("h{n}"), n, from, 10, None)).await;
        let (left, right) = tokio::join!(
            run_one(&mut one, capture(&format!("l{n}"), n, None, Some(to))),
            run_one(&mut two, capture(&format!("r{n}"), n, None, None))
        );
        let mut statuses = [status(&left), status(&right)];
        statuses.sort_unstable();
        assert_eq!(statuses, [DONE, REJECTED]);
    }
    assert_eq!(journal.held(from).await, (800, 0));
    journal.assert_whole().await;
}

#[tokio::test]
async fn one_hold_id_on_two_wallets_is_placed_once() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let (a, b) = two_partitions(&mut one, &journal).await;
    for n in 1..=20 {
        let (left, right) = tokio::join!(
            run_one(&mut one, hold(&format!("l{n}"), n, a, 1, None)),
            run_one(&mut two, hold(&format!("r{n}"), n, b, 1, None))
        );
        let mut statuses = [status(&left), status(&right)];
        statuses.sort_unstable();
        assert_eq!(statuses, [DONE, REJECTED], "{left:?} {right:?}");
    }
    let (held_a, held_b) = (journal.held(a).await.1, journal.held(b).await.1);
    assert_eq!(held_a + held_b, 20);
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_frozen_wallet_receives_and_does_not_pay_and_a_closed_one_is_over() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (id, other) = two_partitions(&mut writer, &journal).await;
    run_one(&mut writer, hold("h", 1, id, 100, None)).await;
    run_one(&mut writer, change("f", id, Change::Freeze)).await;
    for refused in [
        debit("1", id, 1),
        transfer("2", id, other, 1),
        hold("3", 2, id, 1, None),
        capture("4", 1, None, None),
        change("5", id, Change::Freeze),
    ] {
        assert!(body(&run_one(&mut writer, refused).await).contains("is frozen"));
    }
    for done in [credit("6", id, 1), transfer("7", other, id, 1), release("8", 1)] {
        assert_eq!(status(&run_one(&mut writer, done).await), DONE);
    }
    run_one(&mut writer, change("u", id, Change::Unfreeze)).await;
    let not_empty = run_one(&mut writer, change("9", id, Change::Close)).await;
    assert!(body(&not_empty).contains("must be 0 to close"));
    run_one(&mut writer, debit("10", id, 1_002)).await;
    assert_eq!(
        status(&run_one(&mut writer, change("11", id, Change::Close)).await),
        DONE
    );
    for refused in [
        credit("12", id, 1),
        transfer("13", other, id, 1),
        change("14", id, Change::Unfreeze),
        change("15", id, Change::SetOverdraftLimit(5)),
    ] {
        assert!(body(&run_one(&mut writer, refused).await).contains("is closed"));
    }
    journal.assert_whole().await;
}

#[tokio::test]
async fn an_overdraft_limit_is_spent_and_cannot_be_lowered_below_what_is_used() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 10)).await;
    run_one(&mut writer, change("l", wallet(1), Change::SetOverdraftLimit(50))).await;
    assert_eq!(
        status(&run_one(&mut writer, debit("1", wallet(1), 61)).await),
        REJECTED
    );
    assert_eq!(
        status(&run_one(&mut writer, debit("2", wallet(1), 40)).await),
        DONE
    );
    assert_eq!(
        status(&run_one(&mut writer, hold("3", 1, wallet(1), 20, None)).await),
        DONE
    );
    let lower = run_one(&mut writer, change("4", wallet(1), Change::SetOverdraftLimit(49))).await;
    assert!(body(&lower).contains("cannot be lowered"));
    assert_eq!(journal.held(wallet(1)).await, (-30, 20));
    journal.assert_whole().await;
}
