//! `Wallex-Min-Position`: reads that wait for their projection.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use wallex_projections::Name;

use crate::api::{A, Api, B, Reply, is_problem};
use crate::entries::Entry;

async fn get_from(api: &Api, path: &str, position: &str) -> Reply {
    api.get_with(path, &[("Wallex-Min-Position", position)]).await
}

#[tokio::test]
async fn a_read_waits_for_the_position_it_needs() {
    let api = Api::start().await;
    api.stands(A, 1_041, 2, 100).await;
    api.cursor(Name::ReadModel, 7, 88).await;
    let path = format!("/v1/wallets/{A}");
    let readers = async {
        // More readers than the pool has connections: none may hold one while it waits.
        let readers = (0..20).map(|_| get_from(&api, &path, "3:1042,7:88"));
        futures::future::join_all(readers).await
    };
    let projector = async {
        tokio::task::yield_now().await;
        api.cursor(Name::ReadModel, 3, 1042).await;
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
    api.stands(A, 5, 2, 100).await;
    let begin = Instant::now();
    let path = format!("/v1/wallets/{A}");
    let late = get_from(&api, &path, "3:6").await;
    assert!((Duration::from_millis(1_900)..Duration::from_secs(15)).contains(&begin.elapsed()));
    is_problem(&late, 503, "position_not_reached", "late");
    assert_eq!(late.header("retry-after"), "1");
    assert_eq!(
        (&late.body["wanted"], &late.body["reached"]),
        (&json!("3:6"), &json!("3:5"))
    );
    // And what is already there is answered at once.
    assert_eq!(get_from(&api, &path, "3:5").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_position_that_cannot_be_is_refused_at_once() {
    let api = Api::start().await;
    api.stands(A, 5, 2, 100).await;
    let elsewhere = Entry {
        partition: 7,
        ..Entry::new(B, 1, "create", 0, 0)
    };
    api.happens(elsewhere).await;
    let path = format!("/v1/wallets/{A}");
    let many = vec!["3:5"; 100_000].join(",");
    for position in ["250:1", "3:5,250:1", "7:0,3:5,3:5", "2147483647:1", many.as_str()] {
        let begin = Instant::now();
        let reply = get_from(&api, &path, position).await;
        let shown = &position[..position.len().min(20)];
        is_problem(&reply, 400, "precondition_malformed", shown);
        assert!(reply.text.len() < 1_000, "{shown}");
        // The read did not wait.
        assert!(begin.elapsed() < Duration::from_millis(1_900), "{shown}");
    }
    // Any number of header lines is one list.
    let lines = vec![("Wallex-Min-Position", "3:5"); 300];
    let reply = api.get_with(&path, &lines).await;
    is_problem(&reply, 400, "precondition_malformed", "lines");
    assert_eq!(get_from(&api, &path, "3:5,7:0").await.status, StatusCode::OK);
    // Several positions in one partition: the highest counts.
    assert_eq!(get_from(&api, &path, "3:4,3:5").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_read_waits_for_its_position() {
    let api = Api::start().await;
    api.history(A, 2).await;
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
    api.reads.close().await;
    for path in [
        format!("/v1/wallets/{A}"),
        format!("/v1/wallets/{A}?consistency=strong"),
    ] {
        api.refuses(&path, 503, "unavailable").await;
    }
}
