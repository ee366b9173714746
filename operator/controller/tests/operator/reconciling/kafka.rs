//! Topics between platforms, and a Kafka that moves: no platform gets another's topics, and pods that reach Kafka keep doing
//! so.

use serde_json::{Value, json};
use wallex_crd::GROUP;
use wallex_crd::names;
use wallex_operator::reconcile::conditions::{Reason, types};
use wallex_operator::scope::Scope;

use super::deletion::delete;
use super::server::{World, platform_path};
use super::{KAFKA, demo, events_topic, expected, once, run, until_ready, world};

/// A Kafka at these addresses, with the same topic names for all.
fn shared(servers: &str) -> Value {
    let topics = json!({"events": {"name": "events"}, "deadLetters": {"name": "dead-letters"}});
    json!({"bootstrapServers": servers, "topics": topics})
}

fn sharing() -> World {
    let world = World::default();
    world.add_platform("shop", "demo", &shared(KAFKA));
    world
}

fn topics(world: &World) -> Vec<String> {
    let state = world.state();
    state.topics.keys().map(|(_, name)| name.clone()).collect()
}

/// All writes except those to the platform itself and its Events.
fn others_written(world: &World) -> Vec<String> {
    let mut written = world.written();
    written.retain(|write| !write.contains("walletplatforms") && !write.contains("events"));
    written
}

#[tokio::test]
async fn the_second_platform_that_names_a_topic_is_refused_wherever_it_is() {
    let world = sharing();
    until_ready(&world).await;
    world.add_platform("other", "late", &shared("K:9092,k2:9092"));
    let scopes = ["shop", "other"].map(|name| Scope::Namespace(name.to_owned()));
    let operator = world.operator(scopes.into());
    world.written();
    run(&operator, "other", "late").await;
    let (_, reason, message) = world.condition("other", "late", types::READY);
    assert_eq!(reason, Reason::TopicTaken.as_str());
    assert!(
        message.contains("shop/demo") && message.contains("other/late"),
        "{message}"
    );
    assert_eq!(others_written(&world), Vec::<String>::new());
    run(&operator, "shop", "demo").await;
    assert!(world.is_ready("shop", "demo"));
}

#[tokio::test]
async fn one_kafka_by_two_addresses_is_one_kafka_and_the_topics_of_the_first_outlive_the_second() {
    let world = sharing();
    world
        .state()
        .clusters
        .insert("kafka.kfk.svc:9092".to_owned(), KAFKA.to_owned());
    until_ready(&world).await;
    let mut kafka = shared("kafka.kfk.svc:9092");
    kafka["topics"]["deletionPolicy"] = json!("Delete");
    world.add_platform("other", "late", &kafka);
    let operator = world.operator(vec![Scope::All]);
    world.written();
    for _ in 0..3 {
        run(&operator, "other", "late").await;
    }
    let (_, reason, message) = world.condition("other", "late", types::READY);
    assert_eq!(reason, Reason::TopicTaken.as_str());
    assert!(message.contains("shop/demo"), "{message}");
    assert_eq!(world.condition("other", "late", types::STALLED).0, "True");
    assert_eq!(
        others_written(&world),
        Vec::<String>::new(),
        "no migration, no pods"
    );

    world.change("other", "late", |platform| {
        platform["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::now().to_string());
    });
    run(&operator, "other", "late").await;
    assert_eq!(world.platform("other", "late"), None);
    assert_eq!(topics(&world), ["dead-letters", "events"]);
}

#[tokio::test]
async fn the_topic_of_a_platform_that_no_operator_sees_is_taken_too_until_a_person_says_otherwise() {
    let world = sharing();
    until_ready(&world).await;
    // Another Kubernetes cluster or operator: its objects are not visible here.
    world.state().objects.remove(&platform_path("shop", "demo"));
    world.add_platform("other", "late", &shared(KAFKA));
    let operator = world.operator(vec![Scope::All]);
    run(&operator, "other", "late").await;
    let (_, reason, message) = world.condition("other", "late", types::READY);
    assert_eq!(reason, Reason::TopicTaken.as_str());
    assert!(
        message.contains("shop/demo") && message.contains(names::ADOPT_TOPICS),
        "{message}"
    );
    assert!(names::ADOPT_TOPICS.starts_with(GROUP));

    world.change("other", "late", |platform| {
        platform["metadata"]["annotations"] = json!({names::ADOPT_TOPICS: "events, dead-letters"});
    });
    for _ in 0..4 {
        run(&operator, "other", "late").await;
    }
    assert!(world.is_ready("other", "late"));
}

#[tokio::test]
async fn a_topic_of_another_program_is_neither_configured_nor_used() {
    let world = sharing();
    {
        let mut state = world.state();
        let key = (KAFKA.to_owned(), "events".to_owned());
        state.topics.entry(key.clone()).or_default().partitions = 10;
        state.in_use.insert(key);
    }
    once(&world).await;
    assert_eq!(demo(&world, types::READY), expected("False", Reason::TopicTaken));
    let written = world.written();
    assert!(
        !written.iter().any(|write| write.contains(" topic ")),
        "{written:?}"
    );
}

#[tokio::test]
async fn a_topic_that_was_there_before_stays_when_its_platform_goes() {
    let world = World::default();
    let mut kafka = shared(KAFKA);
    kafka["topics"]["deletionPolicy"] = json!("Delete");
    world.add_platform("shop", "demo", &kafka);
    let key = (KAFKA.to_owned(), "events".to_owned());
    world.state().topics.entry(key).or_default().partitions = 10;
    until_ready(&world).await;
    delete(&world);
    once(&world).await;
    assert_eq!(world.platform("shop", "demo"), None);
    assert_eq!(topics(&world), ["events"]);
    for reason in [Reason::TopicsDeleted.as_str(), Reason::TopicsAbandoned.as_str()] {
        assert!(world.events().iter().any(|event| event == reason), "{reason}");
    }
}

#[tokio::test]
async fn a_platform_keeps_the_topics_that_it_has_when_its_spec_names_none_any_more() {
    let world = sharing();
    until_ready(&world).await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["kafka"] = json!({"bootstrapServers": KAFKA});
    });
    until_ready(&world).await;
    assert_eq!(topics(&world), ["dead-letters", "events"]);
    world.change("shop", "demo", |platform| {
        platform["spec"]["kafka"] =
            json!({"bootstrapServers": KAFKA, "topics": {"events": {"name": "renamed"}}});
    });
    once(&world).await;
    assert_eq!(demo(&world, types::READY), expected("False", Reason::InvalidSpec));
    assert_eq!(topics(&world), ["dead-letters", "events"]);
}

/// The pods' configuration: the ConfigMap and the Deployments' templates.
fn pods(world: &World) -> Vec<(String, Value)> {
    let state = world.state();
    let of = |path: &str| path.ends_with("/configmaps/demo-config") || path.contains("/deployments/");
    let objects = state.objects.iter().filter(|(path, _)| of(path));
    objects
        .map(|(path, object)| {
            let told = json!([object["data"], object["spec"]["template"]]);
            (path.clone(), told)
        })
        .collect()
}

#[tokio::test]
async fn an_address_that_does_not_answer_reaches_no_pod_until_it_does() {
    let world = world();
    until_ready(&world).await;
    let before = pods(&world);
    world.state().dead_brokers.insert("k:9".to_owned());
    world.state().clusters.insert("k:9".to_owned(), KAFKA.to_owned());
    world.change("shop", "demo", |platform| {
        platform["spec"]["kafka"]["bootstrapServers"] = json!("k:9");
        // Other changes wait too: their pods would start with the bad address.
        platform["spec"]["image"] = json!("wallex:2");
    });
    for _ in 0..3 {
        once(&world).await;
    }
    assert_eq!(pods(&world), before);
    let (status, reason, message) = world.condition("shop", "demo", types::TOPICS_READY);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", Reason::KafkaUnreachable.as_str())
    );
    assert!(message.contains("pods keep the connection"), "{message}");
    assert_eq!(
        demo(&world, types::DEGRADED),
        expected("True", Reason::KafkaUnreachable)
    );

    world.state().dead_brokers.clear();
    until_ready(&world).await;
    let after = pods(&world);
    assert!(after.iter().zip(&before).all(|(after, before)| after != before));
    assert!(after.iter().any(|(_, told)| told.to_string().contains("k:9\"")));
}

#[tokio::test]
async fn a_kafka_that_is_away_holds_back_nothing_but_a_change_of_itself() {
    let world = world();
    until_ready(&world).await;
    world.state().dead_brokers.insert(KAFKA.to_owned());
    world.change("shop", "demo", |platform| {
        platform["spec"]["image"] = json!("wallex:2");
    });
    for _ in 0..3 {
        once(&world).await;
    }
    assert!(
        pods(&world)
            .iter()
            .any(|(_, told)| told.to_string().contains("wallex:2"))
    );
}

#[tokio::test]
async fn in_another_kafka_the_topics_are_made_without_an_alarm() {
    let world = world();
    until_ready(&world).await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["kafka"]["bootstrapServers"] = json!("new:9092");
    });
    until_ready(&world).await;
    assert!(!world.events().contains(&Reason::TopicMissing.as_str().to_owned()));
    let state = world.state();
    let made = state.topics.keys().filter(|(cluster, _)| cluster == "new:9092");
    assert_eq!(made.count(), 2);
    drop(state);
    assert_eq!(events_topic(&world), Some(10), "what was before stays");
    let status = world.platform("shop", "demo").unwrap()["status"]["kafka"].clone();
    assert_eq!(
        status,
        json!({"bootstrapServers": "new:9092", "clusterId": "new:9092"})
    );
}
