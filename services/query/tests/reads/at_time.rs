//! A wallet's money at a given time.

use http::StatusCode;
use serde_json::json;

use crate::api::{A, Api, B, NOON, NOWHERE, is_problem, time};
use crate::entries::Entry;

#[tokio::test]
async fn the_state_at_a_time_is_that_of_the_last_entry_until_then() {
    let api = Api::start().await;
    let entries = [
        (1, 10, "create", 100, 100, 0, 0),
        (2, 20, "hold", 0, 100, 30, 0),
        // Of two events at the same time, the later one counts.
        (3, 20, "overdraft_limit", 0, 100, 0, 500),
        (4, 30, "credit", 7, 107, 0, 0),
        (5, 40, "overdraft_limit", 0, 107, 0, 0),
    ];
    for (version, at, kind, amount, balance, held_change, overdraft_limit) in entries {
        api.happens(Entry {
            at,
            held_change,
            overdraft_limit,
            ..Entry::new(A, version, kind, amount, balance)
        })
        .await;
    }
    for (at, version, balance, held, limit) in [
        (10, 1, 100, 0, 0),
        (19, 1, 100, 0, 0),
        (20, 3, 100, 30, 500),
        (30, 4, 107, 30, 500),
        (39, 4, 107, 30, 500),
        (40, 5, 107, 30, 0),
        (999_999, 5, 107, 30, 0),
    ] {
        let reply = api.get(&format!("/v1/wallets/{A}?at={}", time(at))).await;
        let recorded = entries[version - 1].1;
        assert_eq!(
            reply.body,
            json!({
                "id": A, "at": time(at), "currency": "EUR", "balance": balance, "held": held,
                "available": balance - held, "overdraft_limit": limit, "version": version,
                "position": format!("3:{version}"), "recorded_at": time(recorded),
            }),
            "{at}"
        );
        assert_eq!(reply.header("etag"), "", "it is no version to write against");
    }
    api.park(A).await;
    let reply = api.get(&format!("/v1/wallets/{A}?at={}", time(10))).await;
    assert_eq!(reply.body["stale"], json!(true));
}

#[tokio::test]
async fn before_its_creation_there_is_no_wallet() {
    let api = Api::start().await;
    api.history(A, 2).await;
    let reply = api.get(&format!("/v1/wallets/{A}?at={}", time(0))).await;
    is_problem(&reply, 404, "wallet_not_found", "before");
    assert!(reply.body["detail"].as_str().unwrap().contains("created later"));
    let reply = api.get(&format!("/v1/wallets/{NOWHERE}?at={}", time(0))).await;
    is_problem(&reply, 404, "wallet_not_found", "nowhere");
    assert!(!reply.body["detail"].as_str().unwrap().contains("created later"));
}

#[tokio::test]
async fn nobody_knows_the_future() {
    let api = Api::start().await;
    api.history(A, 2).await;
    // The database's clock, not that of this process.
    let ahead: String = sqlx::query_scalar(
        "SELECT to_char((clock_timestamp() + interval '1 minute') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )
    .fetch_one(&api.pool)
    .await
    .unwrap();
    api.refuses(&format!("/v1/wallets/{A}?at={ahead}"), 422, "validation_failed")
        .await;
    let now: String = sqlx::query_scalar(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )
    .fetch_one(&api.pool)
    .await
    .unwrap();
    assert_eq!(
        api.get(&format!("/v1/wallets/{A}?at={now}")).await.status,
        StatusCode::OK
    );
}

/// As after a clock that was ahead: the newest events have times in the future.
#[tokio::test]
async fn what_is_recorded_ahead_is_found_at_its_own_time_and_not_before() {
    let api = Api::start().await;
    api.happens(Entry::new(A, 1, "create", 100, 100)).await;
    let ahead: i64 = sqlx::query_scalar(
        "SELECT (extract(epoch FROM date_trunc('second', clock_timestamp()) + interval '1 hour') * 1000000)::bigint",
    )
    .fetch_one(&api.pool)
    .await
    .unwrap();
    for (version, balance) in [(2, 107), (3, 110)] {
        api.happens(Entry {
            at: ahead - NOON,
            ..Entry::new(A, version, "credit", balance - 100, balance)
        })
        .await;
    }
    let text = |micros: i64| jiff::Timestamp::from_microsecond(micros).unwrap().to_string();
    for (at, version) in [(ahead - 3_599_000_000, 1), (ahead - 1_000_000, 1), (ahead, 3)] {
        let path = format!("/v1/wallets/{A}?at={}", text(at));
        assert_eq!(api.get(&path).await.body["version"], json!(version), "{path}");
    }
    let beyond = format!("/v1/wallets/{A}?at={}", text(ahead + 1_000_000));
    api.refuses(&beyond, 422, "validation_failed").await;
    // Another wallet's events say nothing about this one.
    api.happens(Entry::new(B, 1, "create", 1, 1)).await;
    let other = format!("/v1/wallets/{B}?at={}", text(ahead));
    api.refuses(&other, 422, "validation_failed").await;
}

#[tokio::test]
async fn a_time_and_a_consistency_exclude_each_other() {
    let api = Api::start().await;
    api.history(A, 2).await;
    let reply = api
        .get(&format!("/v1/wallets/{A}?at={}&consistency=strong", time(1)))
        .await;
    is_problem(&reply, 422, "validation_failed", "both");
    assert_eq!(
        reply.body["errors"].as_array().unwrap().len(),
        2,
        "both are named: {}",
        reply.text
    );
}
