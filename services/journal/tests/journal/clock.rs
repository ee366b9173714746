//! Time: only the database's clock counts, even after it was ahead.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wallex_domain::WalletId;
use wallex_journal::append::{Config, Conflict, Reply, Writer};

use crate::harness::*;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

/// When the last events of a wallet were recorded, relative to the database's clock; newest first.
async fn recorded(journal: &Journal, id: WalletId) -> Vec<i64> {
    let now = journal.now().await;
    let times = sqlx::query_scalar(
        "SELECT recorded_at FROM journal.event WHERE wallet_id = $1 ORDER BY version DESC",
    );
    let times: Vec<i64> = times.bind(id.0).fetch_all(&journal.pool).await.unwrap();
    times.into_iter().map(|time| time - now).collect()
}

/// As after a batch recorded by a clock that was a day ahead.
async fn a_day_ahead(journal: &Journal, id: WalletId) {
    journal
        .execute(&format!(
            "UPDATE journal.partition SET last_recorded_at = last_recorded_at + {DAY}
              WHERE id = (SELECT partition FROM journal.head WHERE wallet_id = '{id}')"
        ))
        .await;
}

#[tokio::test]
async fn a_partition_that_is_ahead_keeps_its_lead_to_itself() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (ahead, other) = two_partitions(&mut writer, &journal).await;
    a_day_ahead(&journal, ahead).await;
    let requests = [
        transfer("t1", ahead, other, 1),
        transfer("t2", other, ahead, 1),
        credit("k", other, 1),
    ];
    for reply in run(&mut writer, &requests).await {
        assert_eq!(status(&reply), DONE);
    }
    let of_ahead = recorded(&journal, ahead).await;
    assert!(
        of_ahead[..2].iter().all(|lead| *lead > DAY / 2),
        "time does not run backwards: {of_ahead:?}"
    );
    let of_other = recorded(&journal, other).await;
    assert!(of_other.iter().all(|lead| *lead <= 0), "{of_other:?}");
    let leads: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.partition WHERE last_recorded_at > $1")
        .bind(journal.now().await)
        .fetch_one(&journal.pool)
        .await
        .unwrap();
    assert_eq!(leads, 1);
    // Answers are kept from now on, not from tomorrow on.
    let kept: i64 = sqlx::query_scalar("SELECT max(created_at) FROM journal.answer")
        .fetch_one(&journal.pool)
        .await
        .unwrap();
    assert!(kept <= journal.now().await);
    journal.assert_whole().await;
}

#[tokio::test]
async fn holds_go_by_the_clock_also_where_times_are_ahead() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (ahead, other) = two_partitions(&mut writer, &journal).await;
    let now = journal.now().await;
    run_one(&mut writer, hold("h1", 1, ahead, 100, Some(now + DAY / 2))).await;
    run_one(&mut writer, hold("h2", 2, other, 100, Some(now + DAY / 2))).await;
    a_day_ahead(&journal, ahead).await;
    // A batch on both partitions, and one in which a hold's expiry has passed by the partition's time.
    run(
        &mut writer,
        &[transfer("t", ahead, other, 1), credit("k", other, 1)],
    )
    .await;
    assert_eq!(
        (journal.held(ahead).await.1, journal.held(other).await.1),
        (100, 100)
    );
    let placed = run_one(&mut writer, hold("h3", 3, ahead, 1, Some(now + 3_600 * SECOND))).await;
    assert_eq!(status(&placed), DONE, "an hour from now is not over");
    assert_eq!(
        status(&run_one(&mut writer, capture("c", 1, None, None)).await),
        DONE
    );
    let over = run_one(&mut writer, hold("h4", 4, ahead, 1, Some(now))).await;
    assert!(body(&over).contains("not in the future"));
    journal.assert_whole().await;
}

fn own() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

#[tokio::test]
async fn a_database_whose_clock_is_far_ahead_is_not_written_to() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 10)).await;
    let with_clock = |clock| {
        let config = Config { clock, ..config() };
        Writer::new(journal.options(), Arc::default(), RENDER, config)
    };
    // To a process whose clock is behind, the database is ahead.
    let mut writer = with_clock(|| own() - DAY);
    let soon = Instant::now() + Duration::from_millis(300);
    let replies = writer.append(&[credit("k", wallet(1), 1)], soon).await;
    assert_eq!(replies, [Reply::Unavailable]);
    assert!(
        writer
            .conflicts
            .iter()
            .all(|conflict| *conflict == Conflict::Clock),
        "{:?}",
        writer.conflicts
    );
    assert_eq!(journal.balance(wallet(1)).await, 10);
    // Clocks differ, and a database that is behind does no harm.
    for (key, clock) in [
        ("a", (|| own() - 200 * SECOND) as fn() -> i64),
        ("b", || own() + DAY),
    ] {
        let reply = run_one(&mut with_clock(clock), credit(key, wallet(1), 1)).await;
        assert_eq!(status(&reply), DONE);
    }
}
