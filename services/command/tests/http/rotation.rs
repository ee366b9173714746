//! Stored answers across the boundaries of their time slots: under full load, with maintenance running, a key that is
//! reused within the retention always finds its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use wallex_journal::append::Config;
use wallex_journal::maintain::{Retention, empty_expired_slots};

use crate::app::*;

/// A slot lasts 4/7 of it, so the slot in use changes about every 0.4 s.
const RETENTION: Duration = Duration::from_millis(750);
const RUN: Duration = Duration::from_secs(6);
/// A slot can be emptied in the last tenth of a second before its turn; a busy machine may miss many.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn slots_rotate_under_full_load_and_every_retry_finds_its_answer() {
    let app = App::new().await;
    let retention = Retention::new(RETENTION);
    let config = wallex_command::BatcherConfig {
        journal: Config {
            retention,
            ..Config::default()
        },
        ..config()
    };
    let (one, _one) = replica(&app.database, &config);
    let (two, _two) = replica(&app.database, &config);
    let id = app.wallet("a", 0).await;
    let path = format!("/v1/wallets/{id}/credits");
    let started = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let (credited, across) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let (one, two, path) = (one.clone(), two.clone(), path.clone());
            let (credited, across, over) = (credited.clone(), across.clone(), over.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{worker}-{n}");
                    let began = jiff::Timestamp::now().as_microsecond();
                    let first = post(&one, &path, &key, json!({"amount": 1})).await;
                    assert_eq!(first.status, 201, "{}", first.body);
                    credited.fetch_add(1, Ordering::Relaxed);
                    // On the other replica, at once and a little later.
                    for _ in 0..2 {
                        let again = post(&two, &path, &key, json!({"amount": 1})).await;
                        let now = jiff::Timestamp::now().as_microsecond();
                        // Beyond the retention nothing is promised, and a busy machine may be that slow.
                        if now - began > i64::try_from(RETENTION.as_micros()).unwrap() {
                            break;
                        }
                        assert_eq!(
                            (again.header("idempotency-replayed"), &again.body),
                            (Some("true"), &first.body)
                        );
                        if retention.slot(began) != retention.slot(now) {
                            across.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    let mut emptied = 0;
    while started.elapsed() < RUN || (emptied < 3 && started.elapsed() < LIMIT) {
        emptied += empty_expired_slots(&app.pool, retention, Duration::from_millis(200))
            .await
            .map_or(0, |slots| slots.len());
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    let credited = i64::try_from(credited.load(Ordering::Relaxed)).unwrap();
    assert_eq!(app.balance(&id).await, credited, "each once");
    assert!(emptied >= 3, "only {emptied} slots were emptied");
    assert!(across.load(Ordering::Relaxed) > 0, "no retry crossed an edge");
}
