//! Whole reconciles, stage by stage as in production, against a small world: an API server, Kubernetes' controllers, and topics.

mod authorities;
mod autoscaling;
mod brokers;
mod deletion;
mod drift;
mod foreign_autoscaler;
mod hands;
mod history;
mod kafka;
mod reported;
mod scaling;
pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wallex_crd::names;
use wallex_operator::controller;
use wallex_operator::reconcile::conditions::{Reason, types};
use wallex_operator::reconcile::{self, Context};
use wallex_operator::scope::Scope;

use server::World;

const KAFKA: &str = "k:9092";

fn world() -> World {
    let world = World::default();
    world.add_platform("shop", "demo", &json!({"bootstrapServers": KAFKA}));
    world
}

/// One reconcile of shop/demo by an operator that has just started.
async fn once(world: &World) {
    run(&world.operator(vec![Scope::All]), "shop", "demo").await;
}

async fn run(operator: &Arc<Context>, namespace: &str, name: &str) {
    // A failure is reported in the status, which is what the tests check.
    let _ = reconcile::platform(operator, namespace, name).await;
}

async fn until_ready(world: &World) {
    for _ in 0..5 {
        once(world).await;
        if world.is_ready("shop", "demo") {
            return;
        }
    }
    panic!("{:#}", world.platform("shop", "demo").unwrap()["status"]);
}

fn demo(world: &World, type_: &str) -> (String, String) {
    let (status, reason, _) = world.condition("shop", "demo", type_);
    (status, reason)
}

fn expected(status: &str, reason: Reason) -> (String, String) {
    (status.to_owned(), reason.as_str().to_owned())
}

fn events_topic(world: &World) -> Option<i32> {
    let key = (KAFKA.to_owned(), "shop.demo.wallet-events".to_owned());
    world.state().topics.get(&key).map(|found| found.partitions)
}

/// The row of the events topic in the status.
fn events_row(world: &World) -> Value {
    world.platform("shop", "demo").unwrap()["status"]["topics"][0].clone()
}

fn refill(world: &World) -> Value {
    let path = "/apis/apps/v1/namespaces/shop/deployments/demo-publisher";
    world.state().objects[path]["spec"]["template"]["metadata"]["annotations"][names::REFILL].clone()
}

#[tokio::test]
async fn nothing_is_written_about_a_platform_that_is_ready() {
    let policies = [
        json!({"bootstrapServers": KAFKA}),
        json!({"bootstrapServers": KAFKA, "topics": {"deletionPolicy": "Delete"}}),
    ];
    for kafka in policies {
        let world = World::default();
        world.add_platform("shop", "demo", &kafka);
        until_ready(&world).await;
        assert_ne!(world.written(), Vec::<String>::new());

        let operator = world.operator(vec![Scope::All]);
        for _ in 0..3 {
            run(&operator, "shop", "demo").await;
        }
        // A restart and an upgrade that builds the same manifests look the same to the API server.
        once(&world).await;
        assert_eq!(world.written(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_writes_of_a_platform_are_counted_by_kind_and_a_ready_one_has_none() {
    let world = world();
    let operator = world.operator(vec![Scope::All]);
    let count = || {
        let text = String::from_utf8(operator.metrics.render().unwrap()).unwrap();
        let lines = text.lines().filter(|line| {
            let kind = ["Event", "WalletPlatform/status"]
                .iter()
                .any(|kind| line.contains(kind));
            line.starts_with("wallex_operator_api_writes_total{") && !kind
        });
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum::<usize>()
    };
    while !world.is_ready("shop", "demo") {
        run(&operator, "shop", "demo").await;
    }
    let children = world.written();
    let children = children.iter().filter(|write| {
        write.starts_with("PATCH") && !write.ends_with("/status") || write.starts_with("DELETE /")
    });
    assert_eq!(count(), children.count());
    let before = count();
    run(&operator, "shop", "demo").await;
    assert_eq!(count(), before);
}

fn dashboards(world: &World) -> Value {
    let path = "/api/v1/namespaces/shop/configmaps/demo-dashboards";
    world.state().objects.get(path).cloned().unwrap_or_default()
}

#[tokio::test]
async fn dashboards_come_are_mended_and_go_with_the_wish_for_them() {
    let world = world();
    until_ready(&world).await;
    assert_eq!(dashboards(&world), Value::Null);
    let wish = |enabled: bool| {
        world.change("shop", "demo", |platform| {
            platform["spec"]["monitoring"] = json!({"dashboards": {"enabled": enabled}});
        });
    };
    wish(true);
    once(&world).await;
    let made = dashboards(&world);
    assert_eq!(made["metadata"]["labels"]["grafana_dashboard"], "1");

    let path = "/api/v1/namespaces/shop/configmaps/demo-dashboards";
    world.state().objects.get_mut(path).unwrap()["data"] = json!({});
    once(&world).await;
    assert_eq!(dashboards(&world)["data"], made["data"]);
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());

    wish(false);
    once(&world).await;
    assert_eq!(dashboards(&world), Value::Null);
}

#[tokio::test]
async fn a_platform_that_waits_is_written_about_only_when_there_is_news() {
    let world = world();
    let secret = "/api/v1/namespaces/shop/secrets/database";
    world.state().objects.remove(secret);
    once(&world).await;
    assert_eq!(
        demo(&world, types::READY),
        expected("False", Reason::SecretNotFound)
    );
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_topic_deleted_behind_its_back_is_reported_then_made_anew_and_filled_by_a_publisher_that_starts_again()
 {
    let world = world();
    until_ready(&world).await;
    assert_eq!(refill(&world), Value::Null);
    world.state().topics.clear();

    once(&world).await;
    let gone = expected("False", Reason::TopicMissing);
    assert_eq!(
        (demo(&world, types::TOPICS_READY), events_topic(&world)),
        (gone, None)
    );
    assert_eq!(
        demo(&world, types::DEGRADED),
        expected("True", Reason::TopicMissing)
    );
    assert!(events_row(&world)["missingSince"].is_string());

    once(&world).await;
    let anew = expected("False", Reason::TopicRecreated);
    assert_eq!(
        (demo(&world, types::TOPICS_READY), events_topic(&world)),
        (anew, Some(10))
    );
    let row = events_row(&world);
    assert!(
        row["missingSince"].is_null() && row["recreatedAt"].is_string(),
        "{row}"
    );

    until_ready(&world).await;
    assert!(refill(&world).is_string());
    let marked = world
        .state()
        .objects
        .values()
        .filter(|object| object.to_string().contains(names::REFILL))
        .count();
    assert_eq!(marked, 1, "only the publisher starts again");
    for reason in [
        Reason::TopicMissing.as_str(),
        Reason::TopicRecreated.as_str(),
        Reason::Ready.as_str(),
    ] {
        assert!(world.events().iter().any(|event| event == reason), "{reason}");
    }
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_topic_is_not_made_anew_while_nobody_could_fill_it() {
    let world = world();
    until_ready(&world).await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["publisher"] = json!({"replicas": 0});
    });
    once(&world).await;
    world.state().topics.clear();
    for _ in 0..3 {
        once(&world).await;
    }
    assert_eq!(events_topic(&world), None);
    let (_, reason, message) = world.condition("shop", "demo", types::TOPICS_READY);
    assert_eq!(reason, Reason::TopicMissing.as_str());
    assert!(
        message.contains("spec.publisher.replicas is 1 or more"),
        "{message}"
    );

    world.change("shop", "demo", |platform| {
        platform["spec"]["publisher"] = json!({"replicas": 1});
    });
    until_ready(&world).await;
    assert_eq!(events_topic(&world), Some(10));
}

#[tokio::test]
async fn a_topic_that_somebody_made_anew_with_fewer_partitions_gets_them_back_after_a_word() {
    let world = world();
    until_ready(&world).await;
    for found in world.state().topics.values_mut() {
        found.partitions = 3;
    }
    once(&world).await;
    assert_eq!(events_topic(&world), Some(3));
    let (_, reason, message) = world.condition("shop", "demo", types::TOPICS_READY);
    assert_eq!(reason, Reason::TopicMissing.as_str());
    assert!(message.contains("only 3 partitions"), "{message}");
    until_ready(&world).await;
    assert_eq!(events_topic(&world), Some(10));
    assert!(refill(&world).is_string());
}

#[tokio::test]
async fn partitions_that_may_not_be_added_are_told_at_once() {
    let world = world();
    let operator = world.operator(vec![Scope::All]);
    for _ in 0..5 {
        run(&operator, "shop", "demo").await;
    }
    assert!(world.is_ready("shop", "demo"));
    // By the same operator, for which Kafka's last answer is still fresh.
    for (asked, allow, said) in [
        (
            12,
            false,
            "spec.partitions says 12, but the journal has 10: set spec.allowPartitionIncrease",
        ),
        (
            4,
            false,
            "spec.partitions says 4, but the journal has 10 and never shrinks",
        ),
        (10, false, ""),
    ] {
        world.change("shop", "demo", |platform| {
            platform["spec"]["partitions"] = json!(asked);
            platform["spec"]["allowPartitionIncrease"] = json!(allow);
        });
        run(&operator, "shop", "demo").await;
        let (status, _, message) = world.condition("shop", "demo", types::TOPICS_READY);
        assert_eq!(status, "True");
        assert!(
            message.contains(said) && message.is_empty() == said.is_empty(),
            "{asked}: {message}"
        );
    }
    assert_eq!(events_topic(&world), Some(10));
}

/// Runs the controllers until a condition holds, in virtual time.
async fn controlled(world: &World, done: impl Fn(&World) -> bool) {
    let stop = CancellationToken::new();
    let operator = world.operator(vec![Scope::All]);
    let controllers = tokio::spawn(controller::watch(operator, Scope::All, stop.clone()));
    let holds = async {
        while !done(world) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(1800), holds).await;
    controllers.abort();
    held.unwrap();
}

#[tokio::test(start_paused = true)]
async fn platforms_that_hang_or_fail_delay_no_other() {
    let world = world();
    for (namespace, kafka) in [
        ("hanging", "k1:9092"),
        ("failing", "k2:9092"),
        ("deaf", "k3:9092"),
    ] {
        world.add_platform(namespace, "demo", &json!({"bootstrapServers": kafka}));
    }
    world
        .state()
        .hanging
        .insert("/api/v1/namespaces/hanging/secrets/database".to_owned());
    world
        .state()
        .failing
        .insert("/api/v1/namespaces/failing/secrets/database".to_owned());
    world.state().deaf_brokers.insert("k3:9092".to_owned());
    controlled(&world, |world| world.is_ready("shop", "demo")).await;
    for namespace in ["hanging", "failing", "deaf"] {
        assert!(!world.is_ready(namespace, "demo"));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_on_a_platform_that_fails_grow_apart_and_start_over_when_it_is_mended() {
    let world = world();
    let secret = "/api/v1/namespaces/shop/secrets/database";
    world.state().failing.insert(secret.to_owned());
    let attempts = |world: &World| -> Vec<tokio::time::Instant> {
        let state = world.state();
        let reads = state.reads.iter().filter(|(path, _)| path == secret);
        reads.map(|(_, at)| *at).collect()
    };
    controlled(&world, |world| attempts(world).len() >= 8).await;
    let at = attempts(&world);
    let waits: Vec<f64> = at
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    // 0.5, 1, 2, … seconds, each 25 % more or less.
    for (index, wait) in waits.iter().enumerate() {
        let plain = 0.5 * f64::powi(2.0, i32::try_from(index).unwrap());
        assert!((0.7 * plain..1.4 * plain).contains(wait), "{index}: {waits:?}");
    }
    world.state().failing.clear();
    controlled(&world, |world| world.is_ready("shop", "demo")).await;
}
