//! Strong reads while a synchronous standby is away, on a separate server: no answer contains what a failover may lose,
//! and readers who wait in vain do not use up the server's sessions.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use wallex_testing::{PostgresServer, eventually};

use crate::api::{A, Api, NOWHERE, is_problem};
use crate::strong::journal;

/// Sessions whose COMMIT waits for a standby.
async fn waiting(server: &PostgresServer) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        .fetch_one(&mut server.connect().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_strong_read_is_told_when_the_standby_has_it() {
    let server = PostgresServer::start();
    let api = Api::on(&server).await;
    journal(&api).await;
    let path = format!("/v1/wallets/{A}?consistency=strong");
    assert_eq!(api.get(&path).await.status, StatusCode::OK);

    server.require("away").await;
    for _ in 0..3 {
        let replies = join_all((0..5).map(|_| api.get(&path))).await;
        for reply in replies {
            is_problem(&reply, 503, "unavailable", "no standby has it");
        }
    }
    let waiting = waiting(&server).await;
    assert!((1..=2).contains(&waiting), "{waiting} sessions wait");
    // Connections are left for reads that need no standby.
    let plain = api.get(&format!("/v1/wallets/{A}")).await;
    assert_eq!(plain.status, StatusCode::OK);
    let nowhere = format!("/v1/wallets/{NOWHERE}?consistency=strong");
    api.refuses(&nowhere, 404, "wallet_not_found").await;

    server.require("").await;
    eventually(Duration::from_secs(20), "the end of the wait", async || {
        (api.get(&path).await.status == StatusCode::OK).then_some(())
    })
    .await;
}
