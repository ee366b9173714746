//! A synchronous standby that is away, on a server of the test's own: nobody is told what a crash has left on the
//! primary alone.

use std::sync::Arc;
use std::time::Duration;

use wallex_journal::append::{Config, Writer};
use wallex_journal::schema;
use wallex_testing::PostgresServer;

use crate::harness::*;

fn writer_on(server: &PostgresServer) -> Writer {
    Writer::new(server.options(), Arc::default(), RENDER, Config::default())
}

#[tokio::test]
async fn an_answer_that_no_standby_has_is_told_when_one_has_it() {
    let server = PostgresServer::start();
    let mut db = server.connect().await;
    schema::migrate(&mut db, &platform(), false).await.unwrap();
    schema::add_partitions(&mut db, PARTITIONS).await.unwrap();
    schema::open_partitions(&mut db).await.unwrap();
    drop(db);
    run_one(&mut writer_on(&server), create("c", wallet(1), 100)).await;

    server.require("away").await;
    // Committed on the primary, it waits; then the primary crashes.
    let patience = Duration::from_secs(2);
    let mut writer = writer_on(&server);
    let waits = tokio::time::timeout(patience, run_one(&mut writer, credit("k", wallet(1), 5))).await;
    assert!(waits.is_err(), "{waits:?}");
    server.crash();
    server.start_again();
    let mut db = server.connect().await;
    let balance: i64 = sqlx::query_scalar("SELECT balance FROM journal.head")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(balance, 105, "it is there, on the primary alone");

    let mut writer = writer_on(&server);
    let told = tokio::time::timeout(patience, run_one(&mut writer, credit("k", wallet(1), 5))).await;
    assert!(told.is_err(), "{told:?}");
    server.require("").await;
    let reply = run_one(&mut writer_on(&server), credit("k", wallet(1), 5)).await;
    assert_eq!(status(&reply), (201, true));
}
