//! A synchronous standby that is away, on a server of the test's own: nobody is told what a crash has left on the
//! primary alone.

use std::sync::Arc;
use std::time::Duration;

use wallex_journal::append::Writer;
use wallex_journal::schema;
use wallex_testing::PostgresServer;

use crate::harness::*;

fn writer_on(server: &PostgresServer) -> Writer {
    Writer::new(server.options(), Arc::default(), RENDER, config())
}

#[tokio::test]
async fn an_answer_that_no_standby_has_is_told_when_one_has_it() {
    let server = PostgresServer::start();
    let mut db = server.connect().await;
    schema::migrate(&mut db, &platform(), false).await.unwrap();
    schema::add_partitions(&mut db, PARTITIONS).await.unwrap();
    schema::open_partitions(&mut db).await.unwrap();
    drop(db);
    // A timeout of the database's own must not end the wait.
    let mut db = server.connect().await;
    sqlx::raw_sql("ALTER DATABASE postgres SET statement_timeout = '500ms'")
        .execute(&mut db)
        .await
        .unwrap();
    drop(db);
    let mut writer = writer_on(&server);
    run_one(&mut writer, create("c", wallet(1), 99)).await;
    // It remembers the wallet: what follows goes in one trip.
    run_one(&mut writer, credit("warm", wallet(1), 1)).await;

    server.require("away").await;
    // Committed on the primary, it waits; then the primary crashes.
    let patience = Duration::from_secs(2);
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
