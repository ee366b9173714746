//! `/metrics` of each role: docs/metrics.md explains every metric, and the money figures change when they must.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wallex_testing::eventually;

use crate::api::{Api, Write};
use crate::platform::{PARTITIONS, Platform};
use crate::process::{DEADLINE, Process};

const DOCS: &str = include_str!("../../../../docs/metrics.md");

/// A metric's type and the labels of its series.
type Shape = (String, BTreeSet<String>);

/// The rows of the tables `| name | type | labels | … |`.
fn documented() -> BTreeMap<String, Shape> {
    let rows = DOCS.lines().filter(|line| line.starts_with("| `wallex_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), labels.collect()))
    })
    .collect()
}

/// The metrics of a role. Labels are those of a metric's first series; values with quotes or commas do not occur.
async fn shown(role: &Process) -> BTreeMap<String, Shape> {
    let (_, text) = role.read("/metrics").await.unwrap();
    let mut shown = BTreeMap::new();
    for (name, kind) in text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
    {
        let series = text.lines().find(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) || rest.starts_with("_bucket{")
        });
        let labels = series.and_then(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
        let labels = labels.unwrap_or_default().split(',');
        let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let labels = labels.filter(|label| label != "le").collect();
        shown.insert(name.to_owned(), (kind.to_owned(), labels));
    }
    shown
}

/// The value of the first series with this prefix.
async fn figure(role: &Process, series: &str) -> Option<f64> {
    let (_, text) = role.read("/metrics").await?;
    let line = text.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn becomes(role: &Process, series: &str, wanted: f64) {
    eventually(DEADLINE, &format!("{series} {wanted}"), async || {
        (figure(role, series).await == Some(wanted)).then_some(())
    })
    .await;
}

async fn write(command: &Process, path: &str, key: &str, body: serde_json::Value) -> u16 {
    let api = Api::new([command.port, command.port]);
    let write = Write {
        method: http::Method::POST,
        path: path.to_owned(),
        key: key.to_owned(),
        if_match: None,
        body,
    };
    api.write(0, &write).await.unwrap().status
}

async fn execute(platform: &Platform, statements: &str) {
    let mut db = PgConnection::connect(platform.database.url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut db)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_metric_that_a_role_shows_is_explained() {
    let platform = Platform::new().await;
    let roles: [&[&str]; 5] = [
        &["command"],
        &["query"],
        &["publisher"],
        &["projector", "ledger"],
        &["projector", "read-model"],
    ];
    let roles = roles.map(|arguments| platform.start(arguments));
    for role in &roles {
        role.ready().await;
    }
    let command = &roles[0];
    let create = json!({"currency": "EUR", "initial_balance": 5});
    assert_eq!(write(command, "/v1/wallets", "a", create.clone()).await, 201);
    assert_eq!(write(command, "/v1/wallets", "a", create).await, 201);
    let unknown = "/v1/wallets/00000000-0000-0000-0000-00000000ffff/credits";
    assert_eq!(write(command, unknown, "b", json!({"amount": 1})).await, 404);
    for series in [
        "wallex_commands_total{command=\"create\",outcome=\"replayed\"}",
        "wallex_command_rejections_total{code=\"wallet_not_found\",command=\"credit\"}",
    ] {
        becomes(command, series, 1.0).await;
    }
    let documented = documented();
    // Periodic measurements appear a moment later; those of the projectors, after the first event.
    for (role, wanted) in [
        (0, "wallex_ledger_unbalanced_currencies"),
        (1, "wallex_publisher_lag_seconds"),
        (1, "wallex_database_oldest_xmin_transactions"),
        (1, "wallex_projection_parked_wallets"),
        (2, "wallex_publisher_position"),
        (3, "wallex_projection_position"),
        (4, "wallex_projection_dead_letters_total"),
    ] {
        eventually(DEADLINE, wanted, async || {
            shown(&roles[role]).await.contains_key(wanted).then_some(())
        })
        .await;
    }
    for role in &roles {
        for (name, shape) in shown(role).await {
            assert_eq!(
                Some(&shape),
                documented.get(&name),
                "{name} is {shape:?} and stands so in no row of docs/metrics.md"
            );
        }
    }
}

#[tokio::test]
async fn what_is_wrong_in_the_databases_is_seen_and_what_cannot_be_read_is_gone() {
    let platform = Platform::new().await;
    let projectors = [
        platform.start(&["projector", "ledger"]),
        platform.start(&["projector", "read-model"]),
    ];
    for role in &projectors {
        role.ready().await;
    }
    let whole = platform.start(&["query"]);
    becomes(&whole, "wallex_ledger_unbalanced_currencies ", 0.0).await;
    becomes(
        &whole,
        "wallex_projection_parked_wallets{projection=\"ledger\"}",
        0.0,
    )
    .await;
    // In two partitions, which is fine.
    execute(
        &platform,
        "INSERT INTO ledger.account_total VALUES
             ('external:EUR', 'EUR', 0, 7, 0), ('wallet:a', 'EUR', 1, 0, 7),
             ('external:USD', 'USD', 0, 9, 0), ('wallet:b', 'USD', 0, 0, 8);
         INSERT INTO read_model.parked (partition, seq, wallet_id, reason)
         SELECT 0, seq, md5((seq % 2)::text)::uuid, 'test' FROM generate_series(1, 5) seq",
    )
    .await;
    let mut holder = PgConnection::connect(platform.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .execute(&mut holder)
        .await
        .unwrap();
    let query = platform.start(&["query"]);
    becomes(&query, "wallex_ledger_unbalanced_currencies ", 1.0).await;
    for (projection, wallets) in [("ledger", 0.0), ("read-model", 2.0)] {
        let series = format!("wallex_projection_parked_wallets{{projection=\"{projection}\"}}");
        becomes(&query, &series, wallets).await;
        becomes(&whole, &series, wallets).await;
    }
    let session = "wallex_database_oldest_snapshot_seconds{database=\"read\",holder=\"session\"}";
    eventually(DEADLINE, "a snapshot of five seconds", async || {
        (figure(&query, session).await? >= 5.0).then_some(())
    })
    .await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    eventually(DEADLINE, "no old snapshot", async || {
        (figure(&query, session).await? < 5.0).then_some(())
    })
    .await;
    // The measurement fails from now on.
    execute(&platform, "ALTER TABLE read_model.parked RENAME TO hidden").await;
    eventually(DEADLINE, "no figure", async || {
        let gone = figure(&query, "wallex_projection_parked_wallets").await.is_none();
        (gone && figure(&query, session).await.is_some()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hash_chain_that_is_broken_has_figures_of_its_own() {
    let platform = Platform::new().await;
    let command = platform.start(&["command"]);
    command.ready().await;
    let id = "00000000-0000-0000-0000-0000000000aa";
    let create = json!({"id": id, "currency": "EUR"});
    assert_eq!(write(&command, "/v1/wallets", "a", create).await, 201);
    for n in 0..3 {
        let path = format!("/v1/wallets/{id}/credits");
        assert_eq!(
            write(&command, &path, &format!("c{n}"), json!({"amount": 7})).await,
            201
        );
    }
    // Nothing is published yet.
    let ages = async || {
        let (_, text) = command.read("/metrics").await?;
        let ages = text
            .lines()
            .filter(|line| line.starts_with("wallex_publisher_lag_seconds{"));
        Some(
            ages.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
                .collect::<Vec<f64>>(),
        )
    };
    eventually(DEADLINE, "a second of lag of the publisher", async || {
        ages().await?.iter().any(|age| *age >= 1.0).then_some(())
    })
    .await;
    // As superusers can.
    execute(
        &platform,
        "SET session_replication_role = replica;
         UPDATE journal.event SET payload = convert_to(replace(convert_from(payload, 'UTF8'), ':7,', ':8,'), 'UTF8')
          WHERE version = 3",
    )
    .await;
    let publisher = platform.start(&["publisher"]);
    let read_model = platform.start(&["projector", "read-model"]);
    publisher.ready().await;
    read_model.ready().await;
    eventually(DEADLINE, "all of it in Kafka", async || {
        (ages().await? == [0.0; PARTITIONS as usize]).then_some(())
    })
    .await;
    let parked = "wallex_projection_parked_events_total{projection=\"read-model\",reason=";
    becomes(&read_model, &format!("{parked}\"HashChainBroken\"}}"), 1.0).await;
    becomes(&read_model, &format!("{parked}\"AfterParked\"}}"), 1.0).await;
    becomes(&read_model, &format!("{parked}\"Unreadable\"}}"), 0.0).await;
    let copies = "wallex_projection_dead_letters_total{outcome=\"delivered\",projection=\"read-model\"}";
    becomes(&read_model, copies, 2.0).await;

    execute(
        &platform,
        "SET session_replication_role = replica; DELETE FROM journal.event WHERE version = 2",
    )
    .await;
    let ledger = platform.start(&["projector", "ledger", "--source", "journal"]);
    let stalled = "wallex_projection_stalled_partitions{projection=\"ledger\",reason=\"HashChainBroken\"}";
    becomes(&ledger, stalled, 1.0).await;
}
