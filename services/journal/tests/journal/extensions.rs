//! Extended holds: their expiry moves later, by the database's clock, for whoever acts on them next.

use wallex_domain::{Change, Command};
use wallex_journal::hold::{Due, DueWallets};
use wallex_testing::eventually;

use crate::harness::*;

const SECOND: i64 = 1_000_000;

async fn passes(journal: &Journal, time: i64) {
    eventually(wallex_testing::DEADLINE, "the hold's time", async || {
        (journal.now().await > time).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_extended_hold_outlasts_its_first_time_and_ends_at_the_second() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    let first = journal.now().await + 3 * SECOND;
    run_one(&mut writer, hold("h", 1, wallet(1), 100, Some(first))).await;
    run_one(&mut writer, change("f", wallet(1), Change::Freeze)).await;
    let second = first + 3 * SECOND;
    let extended = run_one(&mut writer, extend("x", 1, second)).await;
    assert_eq!(status(&extended), DONE);
    let again = run_one(&mut writer, extend("x", 1, second)).await;
    assert_eq!((status(&again), body(&again)), ((201, true), body(&extended)));
    assert_eq!(journal.expires_at(1).await, Some(second));
    passes(&journal, first).await;
    let mut due = DueWallets::default();
    assert_eq!(due.find(&journal.pool, 10).await.unwrap(), Due::default());
    run(&mut writer, &[upkeep(Command::ExpireHolds(wallet(1)))]).await;
    assert_eq!(journal.held(wallet(1)).await, (100, 100));
    passes(&journal, second).await;
    let late = run_one(&mut writer, extend("late", 1, second + 3_600 * SECOND)).await;
    assert!(body(&late).contains("already expired"), "{late:?}");
    assert_eq!(
        journal.history(wallet(1)).await,
        [
            "wallet.created",
            "hold.placed",
            "wallet.frozen",
            "hold.extended",
            "hold.expired"
        ]
    );
    journal.assert_whole().await;
}

#[tokio::test]
async fn only_an_open_hold_with_an_expiry_is_extended_and_only_further() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let hour = journal.now().await + 3_600 * SECOND;
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    run_one(&mut writer, hold("h1", 1, wallet(1), 10, Some(hour))).await;
    run_one(&mut writer, hold("h2", 2, wallet(1), 10, None)).await;
    run_one(&mut writer, hold("h3", 3, wallet(1), 10, Some(hour))).await;
    run_one(&mut writer, release("r", 3)).await;
    for refused in [extend("x1", 1, hour), extend("x2", 1, 1), extend("x3", 2, hour)] {
        assert!(body(&run_one(&mut writer, refused).await).contains("is not later"));
    }
    let over = run_one(&mut writer, extend("x4", 3, hour + 1)).await;
    assert!(body(&over).contains("already released"), "{over:?}");
    let unknown = run_one(&mut writer, extend("x5", 99, hour)).await;
    assert!(body(&unknown).contains("there is no hold"), "{unknown:?}");
    // The expected version is the wallet's.
    for (key, version, expected) in [("x6", 5, (422, false)), ("x7", 6, DONE)] {
        let mut request = extend(key, 1, hour + 1);
        if let Command::ExtendHold(extend) = &mut item_of(&mut request).command {
            extend.expected_version = Some(version - 1);
        }
        assert_eq!(status(&run_one(&mut writer, request).await), expected, "{key}");
    }
    assert_eq!(journal.expires_at(1).await, Some(hour + 1));
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_batch_sees_its_own_extensions_and_an_atomic_one_takes_them_back() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let hour = journal.now().await + 3_600 * SECOND;
    run_one(&mut writer, create("c", wallet(1), 100)).await;
    run_one(&mut writer, hold("h", 1, wallet(1), 10, Some(hour))).await;
    let doomed = batch(
        "b1",
        true,
        [
            extend_hold(1, hour + 20),
            Command::Debit(movement(wallet(1), 1_000)),
        ],
    );
    // In one transaction: if the first had left a trace, the second would not be later.
    let replies = run(&mut writer, &[doomed, extend("x", 1, hour + 10)]).await;
    assert_eq!(replies.iter().map(status).collect::<Vec<_>>(), [REJECTED, DONE]);
    assert_eq!(journal.expires_at(1).await, Some(hour + 10));
    // Placed, extended and ended within one transaction; extended and ended within one.
    let commands = [
        place_hold(2, wallet(1), 10, Some(hour)),
        extend_hold(2, hour + 1),
        extend_hold(2, hour + 2),
        place_hold(3, wallet(1), 10, Some(hour)),
        extend_hold(3, hour + 3),
        capture_hold(3, None, None),
        extend_hold(1, hour + 30),
        capture_hold(1, Some(4), None),
    ];
    assert_eq!(
        status(&run_one(&mut writer, batch("b2", true, commands)).await),
        (200, false)
    );
    for (n, expires_at, is) in [(1, 30, "captured"), (2, 2, "open"), (3, 3, "captured")] {
        assert_eq!(
            (journal.expires_at(n).await, journal.hold_status(n).await.as_str()),
            (Some(hour + expires_at), is),
            "hold {n}"
        );
    }
    journal.assert_whole().await;
}

#[tokio::test]
async fn two_replicas_that_extend_and_capture_one_hold_agree_on_one_order() {
    let journal = Journal::new().await;
    let (mut one, mut two) = (journal.writer(), journal.writer());
    let hour = journal.now().await + 3_600 * SECOND;
    run_one(&mut one, create("c", wallet(1), 1_000)).await;
    for n in 1..=20 {
        run_one(&mut one, hold(&format!("h{n}"), n, wallet(1), 10, Some(hour))).await;
        let (left, right, captured) = tokio::join!(
            run_one(&mut one, extend(&format!("l{n}"), n, hour + 1)),
            run_one(&mut two, extend(&format!("r{n}"), n, hour + 1)),
            async {
                if n % 2 == 0 {
                    return None;
                }
                Some(run_one(&mut journal.writer(), capture(&format!("k{n}"), n, None, None)).await)
            }
        );
        let done = [&left, &right]
            .into_iter()
            .filter(|reply| status(reply) == DONE)
            .count();
        match captured {
            Some(captured) => {
                assert_eq!(status(&captured), DONE);
                assert!(done <= 1, "{left:?} {right:?}");
            }
            None => assert_eq!(done, 1, "{left:?} {right:?}"),
        }
    }
    journal.assert_whole().await;
}
