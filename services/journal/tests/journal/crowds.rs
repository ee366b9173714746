//! Very many open holds: they end in steps that others do not notice, and a wallet can only have so many.

use std::sync::Arc;
use std::time::Duration;

use wallex_domain::{Command, WalletId};
use wallex_journal::append::{Config, Reply, Writer};
use wallex_journal::hold::DueWallets;
use wallex_testing::eventually;

use crate::harness::*;

const YEAR_3000: i64 = 32_503_680_000_000_000;

/// Gives a wallet holds of 1, as if they had been placed. Partitions move, as they do whenever a wallet changes: so no
/// writer relies on what it remembers.
async fn holds(journal: &Journal, id: WalletId, count: i64, expires_at: &str) {
    journal
        .execute(&format!(
            "INSERT INTO journal.hold SELECT gen_random_uuid(), '{id}', 1, {expires_at}, 'open'
               FROM generate_series(1, {count}) n;
             UPDATE journal.head SET held = held + {count} WHERE wallet_id = '{id}';
             UPDATE journal.partition SET last_recorded_at = last_recorded_at + 1"
        ))
        .await;
}

async fn ended(journal: &Journal) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM journal.event WHERE type = 'hold.expired'")
        .fetch_one(&journal.pool)
        .await
        .unwrap()
}

/// A batch's replies, and the indices of the requests it postpones.
async fn batch_of(
    writer: &mut Writer,
    requests: &[wallex_journal::append::Request],
) -> (Vec<(usize, Reply)>, Vec<usize>) {
    let mut replies = Vec::new();
    let mut take = |index, reply, _| replies.push((index, reply));
    let deadlines = vec![deadline(); requests.len()];
    let later = writer.append_each(requests, &deadlines, &mut take).await;
    (replies, later)
}

#[tokio::test]
async fn a_crowd_of_due_holds_ends_in_several_batches_and_others_go_on() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (crowded, other) = (wallet(1), wallet(2));
    let creates = [create("c1", crowded, 10_000), create("c2", other, 10)];
    run(&mut writer, &creates).await;
    holds(&journal, crowded, 2_500, "n").await;
    holds(&journal, other, 3, "n").await;
    for step in 1..=2 {
        let (replies, later) = batch_of(
            &mut writer,
            &[
                // That much is available only when all holds have ended.
                debit("all", crowded, 10_000),
                debit(&format!("d{step}"), other, 5),
            ],
        )
        .await;
        assert_eq!(later, [0], "not decided on a wallet that is not up to date");
        let [(1, reply)] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!(
            status(reply),
            DONE,
            "the other wallet's holds are few and have ended"
        );
        assert!(
            ended(&journal).await <= 1_000 * step,
            "so many in a batch at most"
        );
        assert!(ended(&journal).await >= 990 * step, "and hardly fewer");
    }
    assert_eq!(
        status(&run_one(&mut writer, debit("all", crowded, 10_000)).await),
        DONE
    );
    assert_eq!(ended(&journal).await, 2_503);
    assert_eq!(journal.held(crowded).await, (0, 0));
}

#[tokio::test]
async fn upkeep_ends_a_crowd_step_by_step() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 10_000)).await;
    holds(&journal, wallet(1), 2_500, "1").await;
    for left in [1_500, 500, 0, 0] {
        let reply = run_one(&mut writer, upkeep(Command::ExpireHolds(wallet(1)))).await;
        assert!(matches!(reply, Reply::Answered { .. }), "{reply:?}");
        assert_eq!(journal.held(wallet(1)).await.1, left);
    }
}

#[tokio::test]
async fn a_request_of_many_commands_is_decided_whole_when_its_wallets_are_up_to_date() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (crowded, other) = two_partitions(&mut writer, &journal).await;
    journal
        .execute(&format!(
            "UPDATE journal.head SET balance = 10000 WHERE wallet_id = '{crowded}'"
        ))
        .await;
    holds(&journal, crowded, 2_100, "n").await;
    let commands = [
        Command::Debit(movement(crowded, 10_000)),
        Command::Credit(movement(other, 1)),
    ];
    let reply = run_one(&mut writer, batch("b", true, commands)).await;
    assert_eq!(status(&reply), (200, false));
    assert_eq!(journal.held(crowded).await, (0, 0));
    assert_eq!(journal.balance(other).await, 1_001);
}

#[tokio::test]
async fn a_crowd_hides_nobody_elses_due_holds() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run(
        &mut writer,
        &[create("1", wallet(1), 20_000), create("2", wallet(2), 10)],
    )
    .await;
    holds(&journal, wallet(1), 6_000, "n").await;
    holds(&journal, wallet(1), 6_000, "7000").await;
    holds(&journal, wallet(2), 1, "8000").await;
    let mut due = DueWallets::default();
    let mut looks = 0;
    eventually(Duration::from_secs(10), "the other wallet", async || {
        looks += 1;
        let found = due.find(&journal.pool, 200).await.unwrap();
        assert!(found.more);
        assert!(found.wallets.contains(&wallet(1)));
        found.wallets.contains(&wallet(2)).then_some(())
    })
    .await;
    assert!(looks <= 3, "{looks}");
}

fn limited(journal: &Journal, max_open_holds: i64) -> Writer {
    let config = Config {
        max_open_holds,
        ..config()
    };
    Writer::new(journal.options(), Arc::default(), RENDER, config)
}

/// An extension neither opens nor ends a hold.
#[tokio::test]
async fn an_extension_makes_no_room_for_another_hold() {
    let journal = Journal::new().await;
    let mut writer = limited(&journal, 2);
    let hour = journal.now().await + 3_600_000_000;
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    run_one(&mut writer, hold("h1", 1, wallet(1), 1, Some(hour))).await;
    let together = [
        extend("x1", 1, hour + 1),
        hold("h2", 2, wallet(1), 1, None),
        extend("x2", 1, hour + 2),
        hold("h3", 3, wallet(1), 1, None),
    ];
    let replies = run(&mut writer, &together).await;
    let statuses: Vec<_> = replies.iter().map(status).collect();
    assert_eq!(statuses, [DONE, DONE, DONE, REJECTED]);
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_wallet_has_so_many_open_holds_and_no_more() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (limited(&journal, 3), limited(&journal, 3));
    run_one(&mut one, create("c", wallet(1), 100)).await;
    let together: Vec<_> = (1..=4)
        .map(|n| hold(&format!("h{n}"), n, wallet(1), 1, None))
        .collect();
    let statuses: Vec<_> = run(&mut one, &together).await.iter().map(status).collect();
    assert_eq!(statuses, [DONE, DONE, DONE, REJECTED], "also within a batch");
    let full = run_one(&mut two, hold("h5", 5, wallet(1), 1, None)).await;
    assert!(
        body(&full).contains("the most that a wallet may have"),
        "{full:?}"
    );
    // Any hold that ends makes room, whoever wrote it; a rolled-back batch takes none.
    run_one(&mut two, release("r", 1)).await;
    let commands = [
        place_hold(6, wallet(1), 1, None),
        place_hold(7, wallet(1), 1, None),
    ];
    assert_eq!(
        status(&run_one(&mut two, batch("b", true, commands)).await),
        REJECTED
    );
    for (n, expected) in [(8, DONE), (9, REJECTED)] {
        let placed = run_one(&mut one, hold(&format!("h{n}"), n, wallet(1), 1, None)).await;
        assert_eq!(status(&placed), expected);
    }
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_wallet_above_the_limit_goes_on_and_places_none() {
    let journal = Journal::new().await;
    let mut writer = limited(&journal, 150);
    run_one(&mut writer, create("c", wallet(1), 1_000)).await;
    holds(&journal, wallet(1), 150, &YEAR_3000.to_string()).await;
    run_one(&mut writer, credit("k", wallet(1), 1)).await;
    let place = |n: u128| hold(&format!("h{n}"), n, wallet(1), 1, None);
    assert_eq!(status(&run_one(&mut writer, place(1)).await), REJECTED);
    // Above what is ever counted.
    holds(&journal, wallet(1), 10, "NULL").await;
    run_one(&mut writer, credit("l", wallet(1), 1)).await;
    assert_eq!(status(&run_one(&mut writer, place(2)).await), REJECTED);
    journal
        .execute("UPDATE journal.hold SET status = 'released' WHERE expires_at IS NULL; UPDATE journal.head SET held = held - 10")
        .await;
    let expiry = "UPDATE journal.hold SET expires_at = 1 WHERE hold_id IN (SELECT hold_id FROM journal.hold WHERE status = 'open' LIMIT 1)";
    journal.execute(expiry).await;
    assert_eq!(
        status(&run_one(&mut writer, place(3)).await),
        DONE,
        "one has ended"
    );
    assert_eq!(status(&run_one(&mut writer, place(4)).await), REJECTED);
}

/// So many holds that only one wallet per batch can be counted.
#[tokio::test]
async fn what_cannot_be_counted_in_one_batch_is_placed_in_a_later_one() {
    let journal = Journal::new().await;
    let mut writer = limited(&journal, 20_000);
    run(
        &mut writer,
        &[create("1", wallet(1), 500), create("2", wallet(2), 500)],
    )
    .await;
    for n in 1..=2 {
        holds(&journal, wallet(n), 150, "NULL").await;
    }
    let requests = [
        hold("h1", 1, wallet(1), 1, None),
        hold("h2", 2, wallet(2), 1, None),
    ];
    let (replies, later) = batch_of(&mut writer, &requests).await;
    assert_eq!((replies.len(), later.len()), (1, 1));
    for reply in run(&mut writer, &requests).await {
        assert_eq!(status(&reply).0, 201);
    }
}
