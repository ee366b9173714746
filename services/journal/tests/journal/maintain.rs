//! The ring of stored answers: kept as long as promised, looked up in every slot, emptied slot by slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use wallex_journal::append::{Config, Writer};
use wallex_journal::maintain::{Retention, SLOTS, empty_expired_slots};
use wallex_testing::eventually;

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

/// Backdates the stored answers to the given time.
async fn written(journal: &Journal, at: i64, retention: Retention) {
    let slot = retention.slot(at);
    journal
        .execute(&format!(
            "UPDATE journal.answer SET created_at = {at}, slot = {slot}"
        ))
        .await;
}

/// A retention, and a time whose answers it makes due now. A retention of 7 units has periods of 4; a slot is emptied
/// in the last unit before its next turn. Chooses a length of the unit for which now is that time.
fn just_due(now: i64) -> (Retention, i64) {
    all_just_due(now).next().unwrap()
}

fn all_just_due(now: i64) -> impl Iterator<Item = (Retention, i64)> {
    let units = (1_000..).map(|n| n * 1_000_000);
    let units = units.filter(move |unit| (33..39).contains(&(now / (unit / 10) % 40)));
    units.map(move |unit| {
        let period_began = now - now % (4 * unit);
        let retention = Retention::new(Duration::from_micros(7 * unit as u64));
        (retention, period_began - 8 * unit + 1)
    })
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
    let (retention, expired) = just_due(now);
    written(&journal, expired, retention).await;
    let emptied = empty_expired_slots(&journal.pool, retention, WAIT).await.unwrap();
    assert_eq!(emptied, [retention.slot(expired)]);
    assert_eq!(count(&journal).await, 0);
}

#[tokio::test]
async fn maintenance_gives_way_to_a_slot_in_use() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    // Nothing is due: the busy slot is not even touched.
    let mut reader = journal.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM journal.answer")
        .execute(&mut *reader)
        .await
        .unwrap();
    let emptied = empty_expired_slots(&journal.pool, Retention::default(), Duration::from_millis(50)).await;
    assert_eq!(emptied.unwrap(), Vec::<i16>::new());
    drop(reader);
}

/// How long a command took, and when it began, relative to the first.
type Took = (Duration, Duration);

/// Credits until told to stop; returns the three longest, longest first.
fn credits(
    journal: &Journal,
    name: &'static str,
    retention: Retention,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Vec<Took>> {
    let config = Config {
        retention,
        ..config()
    };
    let mut writer = Writer::new(journal.options(), Arc::default(), RENDER, config);
    tokio::spawn(async move {
        // Opens the connection and plans its statements.
        run_one(&mut writer, credit(name, wallet(1), 1)).await;
        let mut longest = Vec::new();
        let first = Instant::now();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let began = Instant::now();
            let reply = run_one(&mut writer, credit(&format!("{name}{n}"), wallet(1), 1)).await;
            assert_eq!(status(&reply), DONE);
            longest.push((began.elapsed(), began - first));
            longest.sort_by(|one, other| other.cmp(one));
            longest.truncate(3);
        }
        longest
    })
}

/// Fills a slot with this many megabytes of old answers, measured before compression or out-of-line storage: four fill
/// a page.
async fn fill(journal: &Journal, slot: i16, megabytes: i64) {
    for megabyte in 0..megabytes {
        journal
            .execute(&format!(
                "INSERT INTO journal.answer (slot, caller, key, created_at, fingerprint, status, body)
                 SELECT {slot}, 'old', {megabyte} || '-' || n, 1, sha256(n::text::bytea), 201,
                        decode(repeat(md5(n::text), 110), 'hex')
                   FROM generate_series(1, 512) n"
            ))
            .await;
    }
}

#[tokio::test]
async fn a_slot_that_is_looked_into_is_emptied_later_and_commands_go_on_meanwhile() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    let (retention, expired) = just_due(now(&journal).await);
    written(&journal, expired, retention).await;
    let mut reader = journal.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM journal.answer")
        .execute(&mut *reader)
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = credits(&journal, "k", retention, stop.clone());
    let pool = journal.pool.clone();
    let emptying = tokio::spawn(async move { empty_expired_slots(&pool, retention, WAIT).await });
    // Some tries at the hard lock, which the reader blocks for twice as long as a command may wait.
    let mut tries = 0;
    let began = Instant::now();
    eventually(Duration::from_secs(30), "tries at the hard lock", async || {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .fetch_one(&journal.pool)
        .await
        .unwrap();
        tries += i32::from(waits);
        (tries >= 5 && began.elapsed() > Duration::from_secs(4)).then_some(())
    })
    .await;
    reader.rollback().await.unwrap();
    assert_eq!(emptying.await.unwrap().unwrap(), [retention.slot(expired)]);
    stop.store(true, Ordering::Relaxed);
    let longest = writing.await.unwrap();
    assert!(
        longest[0].0 < Duration::from_secs(2),
        "commands waited {longest:?}"
    );
}

#[tokio::test]
async fn a_slot_that_somebody_writes_to_is_busy_or_left_alone() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    let (retention, expired) = just_due(now(&journal).await);
    written(&journal, expired, retention).await;
    let slot = retention.slot(expired);
    let mut other = journal.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO journal.answer (slot, caller, key, created_at, fingerprint, status, packed)
                 SELECT slot, caller, 'other', created_at, fingerprint, status, packed FROM journal.answer",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    let soon = Duration::from_millis(50);
    let busy = empty_expired_slots(&journal.pool, retention, soon).await;
    let code = busy
        .unwrap_err()
        .as_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned();
    assert_eq!(code, "55P03");
    // What has been added by then keeps the slot.
    sqlx::query("UPDATE journal.answer SET created_at = $1 WHERE key = 'other'")
        .bind(now(&journal).await)
        .execute(&mut *other)
        .await
        .unwrap();
    other.commit().await.unwrap();
    let emptied = empty_expired_slots(&journal.pool, retention, WAIT).await.unwrap();
    assert_eq!(emptied, Vec::<i16>::new(), "slot {slot}");
    assert_eq!(count(&journal).await, 2);
}

/// The measurement: `WALLEX_TEST_SLOT_MB=10000 cargo test --workspace --test journal -- --ignored --nocapture slot`.
/// Needs twice that size on the test servers' disk.
#[tokio::test]
#[ignore = "a measurement of some minutes"]
async fn how_long_an_emptied_slot_makes_commands_wait() {
    let megabytes = std::env::var("WALLEX_TEST_SLOT_MB").map_or(10_000, |size| size.parse().unwrap());
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    journal.execute("DELETE FROM journal.answer").await;
    let slot = 1;
    fill(&journal, slot, megabytes).await;
    // Autovacuum does this in the days that a slot rests. Without it, the first reader would write every page again, to
    // mark each row as committed.
    journal.execute("VACUUM journal.answer_1").await;
    journal.execute("CHECKPOINT").await;
    let size: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('journal.answer_1')")
        .fetch_one(&journal.pool)
        .await
        .unwrap();
    // Filling takes minutes: only now is it clear which retention makes the slot due.
    let mut due = all_just_due(now(&journal).await);
    let (retention, _) = due.find(|(retention, at)| retention.slot(*at) == slot).unwrap();
    let mut longest = Vec::new();
    for (name, empties) in [("before", false), ("meanwhile", true)] {
        let stop = Arc::new(AtomicBool::new(false));
        let writing = credits(&journal, name, retention, stop.clone());
        let began = Instant::now();
        if empties {
            let emptied = empty_expired_slots(&journal.pool, retention, WAIT).await.unwrap();
            assert_eq!(emptied, [slot]);
        } else {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        longest.push((name, took, writing.await.unwrap()));
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.answer_1")
        .fetch_one(&journal.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let megabytes = size / 1_000_000;
    for (what, took, longest) in longest {
        println!("{megabytes} MB, {what}, {took:?}: the longest commands, and when they began: {longest:?}");
    }
}
