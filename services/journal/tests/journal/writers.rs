//! Who is alive, as command processes tell each other through `journal.writer`.

use uuid::Uuid;
use wallex_journal::writers::{Live, LiveWriter, Registration};
use wallex_testing::{DEADLINE, eventually};

use crate::harness::*;

fn process(journal: &Journal, n: u8) -> Registration {
    let own = LiveWriter {
        id: Uuid::from_u128(n.into()),
        address: format!("10.0.0.{n}:8081"),
        token: [n; 32],
        protocol: 1,
        version: "1.2.3".to_owned(),
    };
    Registration::new(journal.pool.clone(), own)
}

fn ids(live: &Live) -> Vec<u128> {
    live.writers.iter().map(|writer| writer.id.as_u128()).collect()
}

#[tokio::test]
async fn all_see_the_same_order_and_who_leaves_is_gone_at_once() {
    let journal = Journal::new().await;
    // The order is that of their first reports, not of their ids.
    let [first, second, third] = [3, 1, 2].map(|n| process(&journal, n));
    assert_eq!(ids(&first.beat().await.unwrap()), [3]);
    assert_eq!(ids(&second.beat().await.unwrap()), [3, 1]);
    third.beat().await.unwrap();
    for process in [&first, &second, &third] {
        let live = process.beat().await.unwrap();
        assert_eq!(ids(&live), [3, 1, 2]);
        assert_eq!(live.writers[1].address, "10.0.0.1:8081");
        assert_eq!(live.writers[1].token, [1; 32]);
        assert!(live.clock.abs_diff(journal.now().await) < 5_000_000);
    }
    first.leave().await.unwrap();
    assert_eq!(ids(&second.beat().await.unwrap()), [1, 2]);
    assert_eq!(ids(&first.look().await.unwrap().unwrap()), [1, 2]);
    second.leave().await.unwrap();
    third.leave().await.unwrap();
    assert!(first.look().await.unwrap().is_none());
}

#[tokio::test]
async fn who_is_silent_for_a_second_is_gone_and_comes_back_last() {
    let journal = Journal::new().await;
    let [first, second] = [1, 2].map(|n| process(&journal, n));
    first.beat().await.unwrap();
    eventually(DEADLINE, "the end of the silent process", async || {
        (ids(&second.beat().await.unwrap()) == [2]).then_some(())
    })
    .await;
    assert_eq!(ids(&first.beat().await.unwrap()), [2, 1]);
    assert_eq!(ids(&second.beat().await.unwrap()), [2, 1]);
}

#[tokio::test]
async fn rows_of_the_dead_are_removed() {
    let journal = Journal::new().await;
    let [dead, alive] = [1, 2].map(|n| process(&journal, n));
    dead.beat().await.unwrap();
    alive.beat().await.unwrap();
    journal
        .execute("UPDATE journal.writer SET expires_at = now() - interval '2 minutes' WHERE address LIKE '%.1:8081'")
        .await;
    alive.forget_dead().await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar("SELECT address FROM journal.writer")
        .fetch_all(&journal.pool)
        .await
        .unwrap();
    assert_eq!(rows, ["10.0.0.2:8081"]);
}

#[tokio::test]
async fn a_report_waits_for_no_standby_and_flushes_nothing() {
    let journal = Journal::new().await;
    process(&journal, 1).beat().await.unwrap();
    let persistence: String = sqlx::query_scalar(
        "SELECT relpersistence::text FROM pg_class WHERE oid = 'journal.writer'::regclass",
    )
    .fetch_one(&journal.pool)
    .await
    .unwrap();
    assert_eq!(persistence, "u", "unlogged");
}

#[test]
fn a_token_is_not_printed() {
    let own = LiveWriter {
        id: Uuid::nil(),
        address: "10.0.0.1:8081".to_owned(),
        token: [77; 32],
        protocol: 1,
        version: String::new(),
    };
    assert!(!format!("{own:?}").contains("77"));
}
