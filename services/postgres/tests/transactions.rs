//! Pools of one connection: each user gets what the previous one left behind.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use wallex_postgres::{SNAPSHOT, SqlState, begin, for_reads};
use wallex_testing::TestDatabase;

const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; \
    SET LOCAL statement_timeout = '10s'; SET LOCAL jit = off";

async fn pool(database: &TestDatabase) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(20))
        .connect(database.url())
        .await
        .unwrap()
}

/// The next user is outside a transaction, and can open and end one.
async fn assert_clean(pool: &PgPool, after: &str) {
    // Inside a transaction, `now()` stays at its beginning; inside an aborted one, the query fails. Not prepared: that
    // takes several messages, each with a time of its own.
    let row = sqlx::raw_sql("SELECT now() = statement_timestamp()")
        .fetch_one(pool)
        .await
        .unwrap_or_else(|error| panic!("after {after}: {error}"));
    let fresh: bool = row.get(0);
    assert!(fresh, "after {after}: still inside a transaction");
    let setting: String = sqlx::query_scalar("SHOW enable_seqscan")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(setting, "on", "after {after}");
    let mut tx = begin(pool, BEGIN).await.unwrap();
    let setting: String = sqlx::query_scalar("SHOW enable_seqscan")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(setting, "off", "after {after}");
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_cancel_between_any_two_statements_of_an_opening_costs_that_opening_alone() {
    let database = TestDatabase::empty().await;
    let pool = pool(&database).await;
    let statements: Vec<&str> = BEGIN.split("; ").collect();
    for at in 0..statements.len() {
        let mut statements = statements.clone();
        // Like a cancel by the administrator or a timeout that hits the server at this point.
        statements.insert(at, "SELECT pg_cancel_backend(pg_backend_pid())");
        statements.push("SELECT pg_sleep(10)");
        let error = begin(&pool, AssertSqlSafe(statements.join("; ")))
            .await
            .unwrap_err();
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("57014"), "at {at}: {error}");
        assert_clean(&pool, &format!("a cancel at {at}")).await;
    }
}

#[tokio::test]
async fn a_time_out_inside_an_opening_costs_that_opening_alone() {
    let database = TestDatabase::empty().await;
    let pool = pool(&database).await;
    let slow = "BEGIN; SET LOCAL statement_timeout = '20ms'; SELECT pg_sleep(10)";
    begin(&pool, slow).await.unwrap_err();
    assert_clean(&pool, "a statement time-out").await;
    begin(
        &pool,
        "BEGIN; SET LOCAL no.such = 'setting'; SET LOCAL nonsense = 1",
    )
    .await
    .unwrap_err();
    assert_clean(&pool, "a refused setting").await;
}

#[tokio::test]
async fn an_opening_that_is_given_up_leaves_nothing_behind() {
    let database = TestDatabase::empty().await;
    let pool = pool(&database).await;
    for wait in [0, 1, 2, 5, 20, 100] {
        let opening = begin(&pool, "BEGIN; SET LOCAL enable_seqscan = off; SELECT pg_sleep(2)");
        let given_up = tokio::time::timeout(Duration::from_millis(wait), opening).await;
        assert!(given_up.is_err(), "{wait} ms were enough for 2 s");
        assert_clean(&pool, &format!("an opening that was given up after {wait} ms")).await;
    }
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back() {
    let database = TestDatabase::empty().await;
    let pool = pool(&database).await;
    sqlx::query("CREATE TABLE t (id int)")
        .execute(&pool)
        .await
        .unwrap();
    let mut tx = begin(&pool, "BEGIN").await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1)")
        .execute(&mut *tx)
        .await
        .unwrap();
    drop(tx);
    assert_clean(&pool, "a drop").await;

    let mut tx = begin(&pool, "BEGIN").await.unwrap();
    sqlx::query("INSERT INTO t VALUES (2)")
        .execute(&mut *tx)
        .await
        .unwrap();
    let sleeping = sqlx::query("SELECT pg_sleep(0.2)").execute(&mut *tx);
    let given_up = tokio::time::timeout(Duration::from_millis(20), sleeping).await;
    assert!(given_up.is_err());
    drop(tx);
    assert_clean(&pool, "a drop in the middle of a statement").await;

    let mut tx = begin(&pool, "BEGIN").await.unwrap();
    sqlx::query("SELECT 1/0").execute(&mut *tx).await.unwrap_err();
    drop(tx);
    assert_clean(&pool, "a drop after an error").await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn an_end_that_fails_costs_its_own_transaction_alone() {
    let database = TestDatabase::empty().await;
    let pool = pool(&database).await;
    sqlx::query("CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .execute(&pool)
        .await
        .unwrap();
    let mut tx = begin(&pool, "BEGIN").await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1), (1)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap_err();
    assert_clean(&pool, "a commit that failed").await;

    let mut tx = begin(&pool, "BEGIN").await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let mut other = database.connection().await;
    sqlx::query("SELECT pg_terminate_backend($1, 5000)")
        .bind(pid)
        .execute(&mut other)
        .await
        .unwrap();
    tx.rollback().await.unwrap_err();
    assert_clean(&pool, "a connection that was ended").await;
}

#[tokio::test]
async fn a_pool_for_reads_has_the_settings_of_a_snapshot_and_cannot_write() {
    let database = TestDatabase::empty().await;
    let plain = pool(&database).await;
    let reads = for_reads(&plain);
    let names: Vec<&str> = SNAPSHOT
        .split("SET LOCAL ")
        .skip(1)
        .filter_map(|setting| setting.split_whitespace().next())
        .chain(["transaction_isolation", "transaction_read_only"])
        .collect();
    assert_eq!(names.len(), 8, "{names:?}");
    let mut snapshot = begin(&plain, SNAPSHOT).await.unwrap();
    for name in names {
        let show = format!("SHOW {name}");
        let in_snapshot = sqlx::raw_sql(AssertSqlSafe(show.clone()))
            .fetch_one(&mut *snapshot)
            .await
            .unwrap();
        let alone = sqlx::raw_sql(AssertSqlSafe(show))
            .fetch_one(&reads)
            .await
            .unwrap();
        assert_eq!(
            alone.get::<String, _>(0),
            in_snapshot.get::<String, _>(0),
            "{name}"
        );
    }
    snapshot.commit().await.unwrap();
    let refused = sqlx::raw_sql("CREATE TABLE t ()")
        .execute(&reads)
        .await
        .unwrap_err();
    assert_eq!(
        SqlState::of(&refused),
        Some(SqlState::new(*b"25006")),
        "{refused}"
    );
}
