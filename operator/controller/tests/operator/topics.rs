//! Topics on a real Kafka. Runs when WALLEX_TEST_KAFKA names bootstrap servers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use wallex_operator::kafka::{
    Asked, Connection, Known, Librdkafka, Missing, Removal, Request, Topic, TopicAdmin as _, TopicsError,
    Wanted,
};
use wallex_operator::lease::Fence;

fn open_fence() -> Fence {
    let fence = Fence::default();
    fence.raise(Instant::now() + Duration::from_secs(600));
    fence
}

fn wanted(name: &str, partitions: i32, retention_ms: &str) -> Wanted {
    let config = [
        ("cleanup.policy", "delete"),
        ("retention.ms", retention_ms),
        ("compression.type", "lz4"),
    ];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Wanted {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        config: BTreeMap::from(config),
    }
}

const OWNER: &str = "cluster/shop/demo";

/// A request of the platform [`OWNER`].
fn request(topics: Vec<Asked>) -> Request {
    Request {
        topics,
        owner: OWNER.to_owned(),
        source: "wallex/demo".to_owned(),
        adopt: Vec::new(),
    }
}

fn unseen(wanted: Wanted) -> Asked {
    Asked {
        wanted,
        known: None,
        refill: true,
    }
}

/// Asks for topics that were never seen before.
async fn ensure(
    connection: impl Into<Connection>,
    wanted: Vec<Wanted>,
    fence: Fence,
) -> Result<Vec<Topic>, TopicsError> {
    let asked = wanted.into_iter().map(unseen).collect();
    let ensured = Librdkafka.ensure(connection.into(), request(asked), fence);
    ensured.await.map(|ensured| ensured.topics)
}

fn removal(topic: &str, owner: &str) -> Removal {
    Removal {
        topics: vec![(topic.to_owned(), true)],
        owner: owner.to_owned(),
    }
}

fn servers() -> Option<String> {
    let servers = std::env::var("WALLEX_TEST_KAFKA").ok();
    if servers.is_none() {
        eprintln!("skipped: WALLEX_TEST_KAFKA is not set");
    }
    servers
}

fn fresh_name(test: &str) -> String {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("operator-{test}-{}-{nanos}", std::process::id())
}

#[tokio::test]
async fn topics_are_created_mended_and_grown_and_never_shrunk() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("life");
    let made = |wanted: Wanted| ensure(servers.clone(), vec![wanted], open_fence());

    let created = made(wanted(&name, 3, "3600000")).await.unwrap().remove(0);
    assert_eq!(
        (
            created.partitions,
            created.replication_factor,
            created.retention_ms
        ),
        (3, 1, 3_600_000)
    );

    let mended = made(wanted(&name, 3, "7200000")).await.unwrap().remove(0);
    assert_eq!(mended.retention_ms, 7_200_000);

    let grown = made(wanted(&name, 5, "7200000")).await.unwrap().remove(0);
    assert_eq!(grown.partitions, 5);

    let smaller = made(wanted(&name, 2, "7200000")).await.unwrap().remove(0);
    assert_eq!(smaller.partitions, 5);
}

#[tokio::test]
async fn settings_of_others_survive_a_mend() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("foreign");
    let mut first = wanted(&name, 1, "3600000");
    first
        .config
        .insert("segment.bytes".to_owned(), "1048576".to_owned());
    ensure(servers.clone(), vec![first.clone()], open_fence())
        .await
        .unwrap();
    ensure(servers.clone(), vec![wanted(&name, 1, "7200000")], open_fence())
        .await
        .unwrap();
    // Nothing to change for a request with both settings, so the foreign setting is still there.
    first
        .config
        .insert("retention.ms".to_owned(), "7200000".to_owned());
    ensure(servers, vec![first], Fence::default()).await.unwrap();
}

#[tokio::test]
async fn a_refused_setting_names_the_topic() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("refused");
    let mut topic = wanted(&name, 1, "3600000");
    topic.config.insert("no.such.setting".to_owned(), "1".to_owned());
    let error = ensure(servers, vec![topic], open_fence()).await.unwrap_err();
    assert!(
        matches!(&error, TopicsError::Refused { topic, .. } if *topic == name),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_is_created_without_the_lease() {
    let Some(servers) = servers() else { return };
    let error = ensure(
        servers,
        vec![wanted(&fresh_name("fenced"), 1, "3600000")],
        Fence::default(),
    )
    .await;
    assert!(matches!(error, Err(TopicsError::NotLeader(_))), "{error:?}");
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_named_within_seconds() {
    // A bound port that never accepts: nothing answers, and no other test gets it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = listener.local_addr().unwrap().to_string();
    let started = Instant::now();
    let error = ensure(servers.clone(), vec![wanted("any", 1, "1")], open_fence())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TopicsError::Unreachable { bootstrap_servers, .. } if *bootstrap_servers == servers),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_topic_that_was_deleted_is_reported_and_made_anew_only_by_leave() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("missing");
    let wanted = wanted(&name, 3, "3600000");
    ensure(servers.clone(), vec![wanted.clone()], open_fence())
        .await
        .unwrap();
    let ask = |missing, refill| {
        let known = Some(Known {
            partitions: 3,
            missing,
            created: true,
        });
        let asked = Asked {
            wanted: wanted.clone(),
            known,
            refill,
        };
        let ensured = Librdkafka.ensure(
            Connection::from(servers.clone()),
            request(vec![asked]),
            open_fence(),
        );
        async { ensured.await.map(|ensured| ensured.topics) }
    };
    assert_eq!(ask(false, true).await.unwrap()[0].missing, None);

    let delete = || {
        let connection = Connection::from(servers.clone());
        Librdkafka.delete(connection, removal(&name, OWNER), open_fence())
    };
    assert_eq!(delete().await.unwrap(), std::slice::from_ref(&name));
    // It has no owner now.
    assert_eq!(delete().await.unwrap(), Vec::<String>::new());
    let reported = ask(false, true).await.unwrap().remove(0);
    assert_eq!((reported.missing, reported.partitions), (Some(Missing::Gone), 3));
    assert_eq!(ask(true, false).await.unwrap()[0].missing, Some(Missing::Gone));
    let anew = ask(true, true).await.unwrap().remove(0);
    assert_eq!((anew.missing, anew.partitions), (None, 3));
}

#[tokio::test]
async fn nothing_is_deleted_without_the_lease() {
    let error = Librdkafka
        .delete(
            Connection::from("127.0.0.1:1".to_owned()),
            removal("any", OWNER),
            Fence::default(),
        )
        .await;
    assert!(matches!(error, Err(TopicsError::NotLeader(_))), "{error:?}");
}

/// Writes a record with this `ce_source` to the topic; none: from another program.
async fn send(servers: &str, topic: &str, source: Option<&str>) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .unwrap();
    let mut headers = OwnedHeaders::new();
    if let Some(source) = source {
        headers = headers.insert(Header {
            key: "ce_source",
            value: Some(source),
        });
    }
    let record = FutureRecord::to(topic).key("k").payload("v").headers(headers);
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn one_cluster_has_one_id_whatever_it_is_called() {
    let Some(servers) = servers() else { return };
    let id = |servers: String| Librdkafka.cluster(Connection::from(servers));
    let known = id(servers.clone()).await.unwrap();
    assert!(known.as_ref().is_some_and(|known| !known.is_empty()));
    let port = servers.rsplit_once(':').unwrap().1;
    assert_eq!(id(format!("localhost:{port},{servers}")).await.unwrap(), known);
}

#[tokio::test]
async fn a_topic_belongs_to_the_platform_that_claimed_it_first_whoever_asks() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("owned");
    let made = ensure(servers.clone(), vec![wanted(&name, 1, "3600000")], open_fence()).await;
    assert!(made.unwrap()[0].created);

    let late = |adopt: bool| {
        let request = Request {
            owner: "elsewhere/shop/late".to_owned(),
            source: "wallex/late".to_owned(),
            adopt: adopt.then(|| name.clone()).into_iter().collect(),
            // Another retention, which must not be applied.
            topics: vec![unseen(wanted(&name, 1, "7200000"))],
        };
        Librdkafka.ensure(Connection::from(servers.clone()), request, open_fence())
    };
    let error = late(false).await.unwrap_err();
    assert!(
        matches!(&error, TopicsError::Taken { owner, .. } if owner == OWNER),
        "{error:?}"
    );
    // Nor may this platform delete it.
    let delete = |owner: &str| {
        let connection = Connection::from(servers.clone());
        Librdkafka.delete(connection, removal(&name, owner), open_fence())
    };
    assert_eq!(delete("elsewhere/shop/late").await.unwrap(), Vec::<String>::new());
    let kept = ensure(
        servers.clone(),
        vec![wanted(&name, 1, "3600000")],
        Fence::default(),
    )
    .await;
    assert!(kept.unwrap()[0].created, "as it was: nothing to write");

    // With permission it changes owners; it was not created for its new owner.
    let taken = late(true).await.unwrap();
    assert!(!taken.topics[0].created);
    let error = ensure(servers.clone(), vec![wanted(&name, 1, "3600000")], open_fence()).await;
    assert!(matches!(error, Err(TopicsError::Taken { .. })), "{error:?}");
    assert_eq!(delete("elsewhere/shop/late").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_two_platforms_that_ask_at_once_one_gets_the_topic() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("race");
    let ask = |owner: &str| {
        let request = Request {
            owner: owner.to_owned(),
            ..request(vec![unseen(wanted(&name, 1, "3600000"))])
        };
        Librdkafka.ensure(Connection::from(servers.clone()), request, open_fence())
    };
    let (a, b) = tokio::join!(ask("c/n/a"), ask("c/n/b"));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let loser = if a.is_ok() { "c/n/b" } else { "c/n/a" };
    assert!(matches!(ask(loser).await, Err(TopicsError::Taken { .. })));
}

#[tokio::test]
async fn a_topic_with_records_of_another_program_is_left_as_it_is() {
    let Some(servers) = servers() else { return };
    for (test, source, free) in [
        ("own", Some("wallex/demo"), true),
        ("others", Some("wallex/late"), false),
        ("strange", None, false),
    ] {
        let name = fresh_name(test);
        let other = Request {
            owner: "nobody".to_owned(),
            ..request(vec![unseen(wanted(&name, 2, "3600000"))])
        };
        let connection = Connection::from(servers.clone());
        Librdkafka
            .ensure(connection.clone(), other, open_fence())
            .await
            .unwrap();
        send(&servers, &name, source).await;
        let gone = Removal {
            topics: vec![(name.clone(), false)],
            owner: "nobody".to_owned(),
        };
        // Its owner gives the topic up without deleting it. Because it was created for that owner, another platform
        // must adopt it first.
        let adopt = Request {
            owner: "keeper".to_owned(),
            adopt: vec![name.clone()],
            ..request(vec![unseen(wanted(&name, 2, "3600000"))])
        };
        Librdkafka
            .ensure(connection.clone(), adopt, open_fence())
            .await
            .unwrap();
        let left = Removal {
            owner: "keeper".to_owned(),
            ..gone
        };
        assert_eq!(
            Librdkafka.delete(connection, left, open_fence()).await.unwrap(),
            Vec::<String>::new()
        );
        let found = ensure(servers.clone(), vec![wanted(&name, 2, "7200000")], open_fence()).await;
        assert_eq!(found.is_ok(), free, "{test}: {found:?}");
        if !free {
            assert!(matches!(found, Err(TopicsError::InUse { .. })));
        }
    }
}
