//! The lag of projections, as autoscalers and alerts get it: from roles that own none of their partitions, whatever
//! happens to the projectors and the read side.

use std::time::Duration;

use serde_json::json;
use wallex_testing::{TestDatabase, eventually};

use crate::api::{Api, Write};
use crate::platform::{PARTITIONS, Platform};
use crate::process::{DEADLINE, Process};

pub(crate) const WALLETS: usize = 20;
/// From a failure to the end of the series: one pause and one failing measurement. Shorter than the maximum age of a
/// figure.
const SOON: Duration = Duration::from_secs(20);

/// The figures of one projection in the metrics of a role, by partition.
async fn series(role: &Process, metric: &str, projection: &str) -> Option<Vec<f64>> {
    let (_, metrics) = role.read("/metrics").await?;
    let named = |line: &&str| {
        line.starts_with(&format!("{metric}{{")) && line.contains(&format!("projection=\"{projection}\""))
    };
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
    Some(metrics.lines().filter(named).map(value).collect())
}

/// Waits until a role shows `events` for the projection, over all partitions.
pub(crate) async fn shows(role: &Process, projection: &str, events: usize) {
    let what = format!("{events} events of lag of {projection}");
    eventually(DEADLINE, &what, async || {
        let figures = series(role, "wallex_projection_lag_events", projection).await?;
        assert!(figures.is_empty() || figures.len() == PARTITIONS as usize);
        (!figures.is_empty() && figures.iter().sum::<f64>() == events as f64).then_some(())
    })
    .await;
}

pub(crate) async fn create_wallets(command: &Process) {
    let api = Api::new([command.port, command.port]);
    for wallet in 0..WALLETS {
        let write = Write {
            method: http::Method::POST,
            path: "/v1/wallets".to_owned(),
            key: format!("wallet-{wallet}"),
            if_match: None,
            body: json!({"currency": "EUR"}),
        };
        assert_eq!(api.write(0, &write).await.unwrap().status, 201);
    }
}

#[tokio::test]
async fn the_lag_is_seen_without_the_projector_and_is_gone_without_the_read_side() {
    let read_side = TestDatabase::empty().await;
    let platform = Platform::with_read_side(&read_side).await;
    let roles = [platform.start(&["command"]), platform.start(&["query"])];
    let others = [
        platform.start(&["publisher"]),
        platform.start(&["projector", "read-model"]),
    ];
    for role in roles.iter().chain(&others) {
        role.ready().await;
    }
    create_wallets(&roles[0]).await;
    for role in &roles {
        // The ledger has no projector.
        shows(role, "ledger", WALLETS).await;
        shows(role, "read-model", 0).await;
        eventually(DEADLINE, "two seconds of lag", async || {
            let ages = series(role, "wallex_projection_lag_seconds", "ledger").await?;
            ages.iter().any(|age| *age >= 2.0).then_some(())
        })
        .await;
        let read_model = series(role, "wallex_projection_lag_seconds", "read-model").await;
        assert_eq!(read_model, Some(vec![0.0; PARTITIONS as usize]));
    }
    // An owner of some partitions reports nothing about all of them.
    assert_eq!(others[1].get("/health/projections").await, Some(404));
    let own = series(&others[1], "wallex_projection_lag_events", "read-model").await;
    assert_eq!(own, Some(vec![]));

    let ledger = platform.start(&["projector", "ledger"]);
    ledger.ready().await;
    for role in &roles {
        shows(role, "ledger", 0).await;
        assert_eq!(role.get("/health/projections").await, Some(200));
    }

    drop((others, ledger));
    drop(read_side);
    for role in &roles {
        eventually(SOON, "no figure at all", async || {
            let (_, metrics) = role.read("/metrics").await?;
            (!metrics.contains("wallex_projection_lag_")).then_some(())
        })
        .await;
        let (status, answer) = role.read("/health/projections").await.unwrap();
        assert!(
            status == 503 && answer.contains("\"code\":\"unavailable\""),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_nobody_publishes_is_lag() {
    let platform = Platform::new().await;
    let command = platform.start(&["command"]);
    let projector = platform.start(&["projector", "read-model"]);
    command.ready().await;
    projector.ready().await;
    create_wallets(&command).await;
    shows(&command, "read-model", WALLETS).await;
    let publisher = platform.start(&["publisher"]);
    publisher.ready().await;
    shows(&command, "read-model", 0).await;
}
