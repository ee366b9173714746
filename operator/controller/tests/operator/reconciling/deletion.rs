//! A platform that is being deleted: what happens to its topics, and what keeps the object.

use serde_json::json;
use wallex_crd::names;
use wallex_operator::reconcile;
use wallex_operator::reconcile::conditions::{Reason, types};
use wallex_operator::scope::Scope;

use super::server::{World, platform_path};
use super::{KAFKA, demo, events_topic, expected, once, until_ready};

/// A user deletes shop/demo: with a finalizer it stays, marked as deleted.
pub(super) fn delete(world: &World) {
    let path = platform_path("shop", "demo");
    let held = world.platform("shop", "demo").unwrap()["metadata"]["finalizers"].is_array();
    if held {
        world.change("shop", "demo", |platform| {
            platform["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::now().to_string());
        });
    } else {
        world.state().objects.remove(&path);
    }
}

async fn ready_to_delete() -> World {
    let world = World::default();
    let kafka = json!({"bootstrapServers": KAFKA, "topics": {"deletionPolicy": "Delete"}});
    world.add_platform("shop", "demo", &kafka);
    until_ready(&world).await;
    world
}

#[tokio::test]
async fn with_delete_the_topics_go_after_the_pods_and_the_object_after_the_topics() {
    let world = ready_to_delete().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": "demo-command-1", "namespace": "shop", "labels": names::labels("demo", Some("command")),
    }});
    let path = "/api/v1/namespaces/shop/pods/demo-command-1";
    world.state().put(path, pod);
    delete(&world);

    once(&world).await;
    assert_eq!(demo(&world, types::READY), expected("False", Reason::Deleting));
    assert_eq!(events_topic(&world), Some(10));
    let deployments = world
        .state()
        .objects
        .keys()
        .filter(|path| path.contains("/deployments/"))
        .count();
    assert_eq!(deployments, 0);

    world.state().objects.remove(path);
    once(&world).await;
    assert_eq!(
        (events_topic(&world), world.platform("shop", "demo")),
        (None, None)
    );
    assert!(
        world
            .events()
            .contains(&Reason::TopicsDeleted.as_str().to_owned())
    );
}

#[tokio::test]
async fn a_deletion_that_cannot_be_done_says_why_and_ends_when_the_annotation_says_so() {
    let world = ready_to_delete().await;
    world.state().dead_brokers.insert(KAFKA.to_owned());
    delete(&world);
    let operator = world.operator(vec![Scope::All]);
    assert!(
        reconcile::platform(&operator, "shop", "demo").await.is_err(),
        "so that attempts grow apart"
    );
    let (_, reason, message) = world.condition("shop", "demo", types::READY);
    assert_eq!(reason, Reason::TopicDeletionFailed.as_str());
    assert!(
        message.contains("wallex.dev/abandon-topics=true") && message.contains(KAFKA),
        "{message}"
    );
    assert!(
        world
            .events()
            .contains(&Reason::TopicDeletionFailed.as_str().to_owned())
    );

    world.change("shop", "demo", |platform| {
        platform["metadata"]["annotations"] = json!({names::ABANDON_TOPICS: "true"});
    });
    once(&world).await;
    assert_eq!(
        (events_topic(&world), world.platform("shop", "demo")),
        (Some(10), None)
    );
    assert!(
        world
            .events()
            .contains(&Reason::TopicsAbandoned.as_str().to_owned())
    );
}

#[tokio::test]
async fn with_retain_nothing_holds_the_object_and_the_topics_stay() {
    let world = ready_to_delete().await;
    let finalizers =
        |world: &World| world.platform("shop", "demo").unwrap()["metadata"]["finalizers"].clone();
    assert_eq!(finalizers(&world), json!([names::TOPICS_FINALIZER]));
    world.change("shop", "demo", |platform| {
        platform["metadata"]["finalizers"]
            .as_array_mut()
            .unwrap()
            .push(json!("example.com/other"));
        platform["spec"]["kafka"]["topics"] = json!({"deletionPolicy": "Retain"});
    });
    once(&world).await;
    assert_eq!(finalizers(&world), json!(["example.com/other"]), "others' stay");
    delete(&world);
    once(&world).await;
    assert_eq!(events_topic(&world), Some(10));
    assert!(!world.written().iter().any(|write| write.starts_with("DELETE")));
}

#[tokio::test]
async fn a_paused_platform_that_is_being_deleted_keeps_its_topics() {
    let world = ready_to_delete().await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["paused"] = json!(true);
    });
    delete(&world);
    once(&world).await;
    assert_eq!(events_topic(&world), Some(10));
    assert!(world.platform("shop", "demo").is_some());
}
