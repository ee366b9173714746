//! Half a million holds of one wallet that are due in the same second, and how that affects another wallet's writes.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::app::*;

/// The longest stall of another wallet's write while that many holds of one wallet end, and the total time.
async fn crowd(holds: i64) -> (Duration, Duration) {
    let app = App::new().await;
    let crowded = app.wallet("crowded", holds).await;
    let other = app.wallet("other", 0).await;
    let seed = format!(
        "INSERT INTO journal.hold SELECT gen_random_uuid(), '{crowded}', 1, 1700000000000000 + n, 'open'
           FROM generate_series(1, {holds}) n;
         UPDATE journal.head SET held = {holds} WHERE wallet_id = '{crowded}'"
    );
    sqlx::raw_sql(AssertSqlSafe(seed))
        .execute(&app.pool)
        .await
        .unwrap();
    let shutdown = CancellationToken::new();
    let upkeep = tokio::spawn(wallex_command::upkeep::run(
        app.pool.clone(),
        app.batcher.enqueue(),
        shutdown.clone(),
    ));
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    let path = format!("/v1/wallets/{other}/credits");
    for n in 0.. {
        let began = Instant::now();
        let credited = app.post(&path, &format!("k{n}"), json!({"amount": 1})).await;
        assert_eq!(credited.status, 201, "{}", credited.body);
        longest = longest.max(began.elapsed());
        let held: i64 = sqlx::query_scalar("SELECT held FROM journal.head WHERE wallet_id = $1::uuid")
            .bind(&crowded)
            .fetch_one(&app.pool)
            .await
            .unwrap();
        if held == 0 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "{held} are left");
    }
    let took = started.elapsed();
    shutdown.cancel();
    upkeep.await.unwrap();
    let ended: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.event WHERE type = 'hold.expired'")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(ended, holds, "each once");
    (longest, took)
}

#[tokio::test]
async fn five_thousand_holds_that_are_due_at_once_end_beside_other_writes() {
    let (longest, took) = crowd(5_000).await;
    // One transaction for all of them took longer than this on every machine, but a busy machine is slow anyway.
    assert!(longest < Duration::from_secs(3), "{longest:?} of {took:?}");
}

/// Produces the figure: `WALLEX_TEST_HOLDS=500000 cargo test --workspace --test http -- --ignored --nocapture crowd`.
#[tokio::test]
#[ignore = "a measurement of some minutes"]
async fn how_long_a_crowd_makes_others_wait() {
    let holds = std::env::var("WALLEX_TEST_HOLDS").map_or(500_000, |holds| holds.parse().unwrap());
    let (longest, took) = crowd(holds).await;
    println!("{holds} holds ended in {took:?}; the longest write of another wallet took {longest:?}");
}

#[tokio::test]
async fn a_hold_too_many_is_refused_with_its_limit() {
    let app = App::new().await;
    let config = wallex_command::BatcherConfig {
        journal: wallex_journal::append::Config {
            max_open_holds: 1,
            ..Default::default()
        },
        ..config()
    };
    let (router, _writers) = replica(&app.database, &config);
    let id = app.wallet("a", 10).await;
    let path = format!("/v1/wallets/{id}/holds");
    let first = post(&router, &path, "1", json!({"amount": 1})).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let second = post(&router, &path, "2", json!({"amount": 1})).await;
    second.assert_problem(422, "too_many_holds");
    assert_eq!(
        (&second.body["limit"], &second.body["wallet_id"]),
        (&json!(1), &json!(id))
    );
}
