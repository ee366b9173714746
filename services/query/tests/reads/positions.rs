//! `Wallex-Min-Position`: reads that wait for their projection.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use crate::api::{A, Api, Reply, is_problem};

async fn get_from(api: &Api, path: &str, position: &str) -> Reply {
    api.get_with(path, &[("Wallex-Min-Position", position)]).await
}

#[tokio::test]
async fn a_read_waits_for_the_position_it_needs() {
    let api = Api::start().await;
    api.wallet(A, 3, 1042, 2, 100, 0).await;
    api.cursor("read_model", 3, 1041).await;
    api.cursor("read_model", 7, 88).await;
    let path = format!("/v1/wallets/{A}");
    let readers = async {
        // More readers than the pool has connections: nobody may hold one while it waits.
        let readers = (0..20).map(|_| get_from(&api, &path, "3:1042,7:88"));
        futures::future::join_all(readers).await
    };
    let projector = async {
        tokio::task::yield_now().await;
        api.cursor("read_model", 3, 1042).await;
    };
    let (replies, ()) = tokio::join!(readers, projector);
    for reply in replies {
        assert_eq!(
            (reply.status, &reply.body["balance"]),
            (StatusCode::OK, &json!(100))
        );
    }
}

#[tokio::test]
async fn a_position_that_does_not_come_is_a_503_after_two_seconds() {
    let api = Api::start().await;
    api.wallet(A, 3, 5, 2, 100, 0).await;
    api.cursor("read_model", 3, 5).await;
    let begin = Instant::now();
    let path = format!("/v1/wallets/{A}");
    let (late, unknown) = tokio::join!(get_from(&api, &path, "3:6"), get_from(&api, &path, "250:1"));
    assert!((Duration::from_millis(1_900)..Duration::from_secs(15)).contains(&begin.elapsed()));
    for reply in [&late, &unknown] {
        is_problem(reply, 503, "position_not_reached", "late");
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(
        (&late.body["wanted"], &late.body["reached"]),
        (&json!("3:6"), &json!("3:5"))
    );
    // And what is there already is answered at once.
    assert_eq!(get_from(&api, &path, "3:5").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_read_waits_for_its_position() {
    let api = Api::start().await;
    api.history(A, 2).await;
    api.cursor("read_model", 3, 2).await;
    let period = "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z";
    let paths = [
        format!("/v1/wallets/{A}"),
        format!("/v1/wallets/{A}?at=2026-02-01T00:00:00Z"),
        format!("/v1/wallets/{A}?consistency=strong"),
        "/v1/wallets?owner=Ada".to_owned(),
        format!("/v1/wallets/{A}/transactions"),
        format!("/v1/wallets/{A}/statement?{period}"),
        format!("/v1/wallets/{A}/holds"),
        format!("/v1/holds/{A}"),
        format!("/v1/transactions/{A}"),
    ];
    let late = paths.iter().map(|path| get_from(&api, path, "3:3"));
    for (path, reply) in paths.iter().zip(futures::future::join_all(late).await) {
        is_problem(&reply, 503, "position_not_reached", path);
    }
    let exports = ["text/csv", "application/x-ndjson"]
        .map(|accept| [("Accept", accept), ("Wallex-Min-Position", "3:3")]);
    let list = format!("/v1/wallets/{A}/transactions");
    let late = exports.iter().map(|headers| api.get_with(&list, headers));
    for reply in futures::future::join_all(late).await {
        is_problem(&reply, 503, "position_not_reached", "export");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503() {
    let api = Api::start().await;
    api.pool.close().await;
    for path in [
        format!("/v1/wallets/{A}"),
        format!("/v1/wallets/{A}?consistency=strong"),
    ] {
        api.refuses(&path, 503, "unavailable").await;
    }
}
