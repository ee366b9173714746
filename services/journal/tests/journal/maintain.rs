//! The ring of stored answers: kept as long as promised, probed everywhere, emptied whole.

use std::time::Duration;

use wallex_journal::maintain::{Retention, SLOTS, empty_expired_slots};

use crate::harness::*;

const DAY: i64 = 24 * 3600 * 1_000_000;
const WAIT: Duration = Duration::from_secs(5);

async fn count(journal: &Journal) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM journal.answer")
        .fetch_one(&journal.pool)
        .await
        .unwrap()
}

async fn now(journal: &Journal) -> i64 {
    sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .fetch_one(&journal.pool)
        .await
        .unwrap()
}

/// Makes the stored answers as if they had been written at that time.
async fn written(journal: &Journal, at: i64, retention: Retention) {
    let slot = retention.slot(at);
    journal
        .execute(&format!(
            "UPDATE journal.answer SET created_at = {at}, slot = {slot}"
        ))
        .await;
}

#[tokio::test]
async fn an_answer_is_found_in_whichever_slot_it_was_written_to() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 1)).await;
    for slot in 0..SLOTS {
        journal
            .execute(&format!("UPDATE journal.answer SET slot = {slot}"))
            .await;
        assert_eq!(
            status(&run_one(&mut writer, create("c", wallet(1), 1)).await),
            (201, true)
        );
    }
    assert_eq!(count(&journal).await, 1);
}

#[tokio::test]
async fn answers_are_kept_for_the_retention_and_then_go_whole() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 1)).await;
    let retention = Retention::default();
    let now = now(&journal).await;
    for hours in 0..7 * 24 {
        written(&journal, now - hours * DAY / 24, retention).await;
        empty_expired_slots(&journal.pool, retention, WAIT).await.unwrap();
        assert_eq!(
            count(&journal).await,
            1,
            "an answer of {hours} hours is still promised"
        );
    }
    // A retention of 7 units has periods of 4; a slot is emptied in the last unit before its turn comes
    // again. Of all lengths of a unit, one in which it is that time now:
    let unit = (1_000..)
        .map(|n| n * 1_000_000)
        .find(|unit| (33..39).contains(&(now / (unit / 10) % 40)))
        .unwrap();
    let retention = Retention::new(Duration::from_micros(7 * unit as u64));
    let period_began = now - now % (4 * unit);
    written(&journal, period_began - 8 * unit + 1, retention).await;
    let emptied = empty_expired_slots(&journal.pool, retention, WAIT).await.unwrap();
    assert_eq!(emptied, [retention.slot(period_began - 8 * unit)]);
    assert_eq!(count(&journal).await, 0);
}

#[tokio::test]
async fn maintenance_gives_way_to_a_slot_in_use() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    // Nothing is due: the busy slot is not even asked for.
    let mut reader = journal.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM journal.answer")
        .execute(&mut *reader)
        .await
        .unwrap();
    let emptied = empty_expired_slots(&journal.pool, Retention::default(), Duration::from_millis(50)).await;
    assert_eq!(emptied.unwrap(), Vec::<i16>::new());
    drop(reader);
}
