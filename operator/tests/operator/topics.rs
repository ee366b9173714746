//! Topics on a real Kafka. Runs when WALLEX_TEST_KAFKA names bootstrap servers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wallex_operator::kafka::{
    Asked, Connection, Known, Librdkafka, Missing, Topic, TopicAdmin as _, TopicsError, Wanted,
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

/// Asks for topics that were never seen before.
async fn ensure(
    connection: impl Into<Connection>,
    wanted: Vec<Wanted>,
    fence: Fence,
) -> Result<Vec<Topic>, TopicsError> {
    let asked = wanted
        .into_iter()
        .map(|wanted| Asked {
            wanted,
            known: None,
            refill: true,
        })
        .collect();
    Librdkafka.ensure(connection.into(), asked, fence).await
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
    // Nothing left to change for somebody who wants both: so the foreign setting is still there.
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
    // A port that is bound and never accepts: nothing answers, and no other test gets it.
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
        });
        let asked = Asked {
            wanted: wanted.clone(),
            known,
            refill,
        };
        Librdkafka.ensure(Connection::from(servers.clone()), vec![asked], open_fence())
    };
    assert_eq!(ask(false, true).await.unwrap()[0].missing, None);

    let delete = || {
        Librdkafka.delete(
            Connection::from(servers.clone()),
            vec![name.clone()],
            open_fence(),
        )
    };
    delete().await.unwrap();
    delete().await.unwrap();
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
            vec!["any".to_owned()],
            Fence::default(),
        )
        .await;
    assert!(matches!(error, Err(TopicsError::NotLeader(_))), "{error:?}");
}
