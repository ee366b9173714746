//! `/health/projections`: how far the projections have followed a journal, by their cursors.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use wallex_projections::Name;
use wallex_query::QueryState;
use wallex_testing::eventually;

use crate::api::{A, Api, NOON, Reply, is_problem};
use crate::entries::Entry;

const DEADLINE: Duration = wallex_testing::DEADLINE;

impl Api {
    /// Two partitions, the first with `events` recorded `seconds` ago, published to Kafka up to `published`.
    async fn journal_of(&self, events: i64, seconds: i64, published: i64) {
        let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        self.partitions(2).await;
        let entries = (1..=events).map(|version| Entry {
            partition: 0,
            at: now - seconds * 1_000_000 + version - NOON,
            ..Entry::new(A, version, if version == 1 { "create" } else { "credit" }, 0, 0)
        });
        self.record(entries).await;
        self.execute(&format!(
            "UPDATE journal.publication SET checkpoint_seq = {published} WHERE partition = 0"
        ))
        .await;
    }

    async fn cursors(&self, ledger: i64, read_model: i64) {
        for (name, seq) in [(Name::Ledger, ledger), (Name::ReadModel, read_model)] {
            self.cursor(name, 0, seq).await;
            self.cursor(name, 1, 0).await;
        }
    }

    /// Asks routes that have not measured anything yet.
    async fn lag_of(&mut self, state: QueryState) -> Reply {
        self.serve(state);
        self.get("/health/projections").await
    }

    async fn lag(&mut self) -> Reply {
        self.lag_of(self.state().with_publisher()).await
    }
}

/// Name, events and whole seconds of lag for each projection.
fn totals(reply: &Reply) -> Vec<(String, i64, i64)> {
    let projections = reply.body["projections"].as_array();
    let projections = projections.unwrap_or_else(|| panic!("{} {}", reply.status, reply.text));
    projections
        .iter()
        .map(|projection| {
            let seconds = projection["lag_seconds"].as_f64().unwrap();
            (
                projection["name"].as_str().unwrap().to_owned(),
                projection["lag_events"].as_i64().unwrap(),
                seconds as i64,
            )
        })
        .collect()
}

fn total(ledger: (i64, i64), read_model: (i64, i64)) -> Vec<(String, i64, i64)> {
    [("ledger", ledger), ("read-model", read_model)]
        .map(|(name, (events, seconds))| (name.to_owned(), events, seconds))
        .into()
}

#[tokio::test]
async fn the_lag_is_what_the_journal_has_and_is_not_applied_and_as_old_as_the_first_of_it() {
    let mut api = Api::start().await;
    api.journal_of(10, 3_600, 9).await;
    api.cursors(7, 9).await;
    let reply = api.lag().await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.header("cache-control"), "no-store");
    // In Kafka or not, readers miss it.
    assert_eq!(totals(&reply), total((3, 3_600), (1, 3_600)));
    let ledger = &reply.body["projections"][0];
    assert_eq!(
        ledger["partitions"][0]["lag_seconds"], ledger["lag_seconds"],
        "{ledger}"
    );
    let mut partitions = ledger["partitions"].clone();
    partitions[0]["lag_seconds"] = Value::Null;
    assert_eq!(
        partitions,
        json!([
            {"partition": 0, "recorded": 10, "published": 9, "applied": 7, "lag_events": 3, "lag_seconds": null},
            {"partition": 1, "recorded": 0, "published": 0, "applied": 0, "lag_events": 0, "lag_seconds": 0.0},
        ])
    );
    // A checkpoint is saved after the events are sent: a projection may be ahead of it.
    api.cursors(10, 10).await;
    assert_eq!(totals(&api.lag().await), total((0, 0), (0, 0)));
}

#[tokio::test]
async fn a_projection_that_stands_still_grows_older() {
    let mut api = Api::start().await;
    api.journal_of(1, 0, 1).await;
    api.cursors(0, 1).await;
    let seconds = |reply: &Reply| reply.body["projections"][0]["lag_seconds"].as_f64().unwrap();
    let first = seconds(&api.lag().await);
    eventually(DEADLINE, "a second of lag", async || {
        (seconds(&api.lag().await) >= first + 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_publisher_all_that_is_in_the_journal_is_published() {
    let mut api = Api::start().await;
    api.journal_of(10, 60, 4).await;
    api.cursors(4, 10).await;
    assert_eq!(totals(&api.lag_of(api.state()).await), total((6, 60), (0, 0)));
}

#[tokio::test]
async fn a_partition_that_nobody_publishes_yet_or_no_projection_has_met_counts_from_the_beginning() {
    let mut api = Api::start().await;
    api.journal_of(5, 60, 5).await;
    api.partitions(3).await;
    api.execute("DELETE FROM journal.publication WHERE partition = 2")
        .await;
    api.cursor(Name::Ledger, 0, 5).await;
    let reply = api.lag().await;
    assert_eq!(totals(&reply), total((0, 0), (5, 60)));
    assert_eq!(
        reply.body["projections"][1]["partitions"][2],
        json!({"partition": 2, "recorded": 0, "published": 0, "applied": 0, "lag_events": 0, "lag_seconds": 0.0})
    );
}

#[tokio::test]
async fn the_journal_and_the_read_side_may_be_two_databases() {
    let (journal, mut read) = (Api::start().await, Api::start().await);
    journal.journal_of(8, 120, 8).await;
    // These schemas also exist in the journal's database, but there they are not read.
    journal.cursors(8, 8).await;
    read.cursors(5, 6).await;
    let pools = (read.reads.clone(), journal.pool.clone());
    let state = || QueryState::new(pools.0.clone(), pools.1.clone()).with_publisher();
    let reply = read.lag_of(state()).await;
    assert_eq!(totals(&reply), total((3, 120), (2, 120)));
    pools.0.close().await;
    is_problem(
        &read.lag_of(state()).await,
        503,
        "unavailable",
        "the read side is gone",
    );
}

#[tokio::test]
async fn what_is_known_of_some_partitions_only_is_not_told() {
    let mut api = Api::start().await;
    api.journal_of(5, 60, 5).await;
    api.cursors(2, 2).await;
    assert_eq!(api.lag().await.status, StatusCode::OK);
    // Remove the event that would tell the age of partition 1's lag.
    api.execute("UPDATE journal.partition SET last_seq = 1 WHERE id = 1")
        .await;
    is_problem(&api.lag().await, 503, "unavailable", "missing");
}

#[tokio::test]
async fn a_database_that_does_not_get_on_is_not_waited_for() {
    let mut api = Api::start().await;
    api.journal_of(5, 60, 5).await;
    api.cursors(2, 2).await;
    let mut lock = api.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE read_model.cursor IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let started = std::time::Instant::now();
    is_problem(&api.lag().await, 503, "unavailable", "locked");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    lock.rollback().await.unwrap();
    assert_eq!(api.lag().await.status, StatusCode::OK);
}

#[tokio::test]
async fn whoever_asks_again_is_answered_with_the_same_measurement() {
    let mut api = Api::start().await;
    api.journal_of(5, 60, 5).await;
    api.cursors(2, 2).await;
    api.serve(api.state().with_publisher());
    let first = api.get("/health/projections").await;
    api.cursors(5, 5).await;
    assert_eq!(api.get("/health/projections").await.body, first.body);
    // For at most five seconds.
    eventually(DEADLINE, "another measurement", async || {
        let reply = api.get("/health/projections").await;
        (totals(&reply) == total((0, 0), (0, 0))).then_some(())
    })
    .await;
}
