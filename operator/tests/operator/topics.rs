//! Topics on a real Kafka. Runs when WALLEX_TEST_KAFKA names bootstrap servers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wallex_operator::kafka::{self, TopicsError, Wanted};
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
    let ensure = |wanted: Wanted| kafka::ensure(servers.clone(), vec![wanted], open_fence());

    let created = ensure(wanted(&name, 3, "3600000")).await.unwrap().remove(0);
    assert_eq!(
        (
            created.partitions,
            created.replication_factor,
            created.retention_ms
        ),
        (3, 1, 3_600_000)
    );

    let mended = ensure(wanted(&name, 3, "7200000")).await.unwrap().remove(0);
    assert_eq!(mended.retention_ms, 7_200_000);

    let grown = ensure(wanted(&name, 5, "7200000")).await.unwrap().remove(0);
    assert_eq!(grown.partitions, 5);

    let smaller = ensure(wanted(&name, 2, "7200000")).await.unwrap().remove(0);
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
    kafka::ensure(servers.clone(), vec![first.clone()], open_fence())
        .await
        .unwrap();
    kafka::ensure(servers.clone(), vec![wanted(&name, 1, "7200000")], open_fence())
        .await
        .unwrap();
    // Nothing left to change for somebody who wants both: so the foreign setting is still there.
    first
        .config
        .insert("retention.ms".to_owned(), "7200000".to_owned());
    kafka::ensure(servers, vec![first], Fence::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_setting_names_the_topic() {
    let Some(servers) = servers() else { return };
    let name = fresh_name("refused");
    let mut topic = wanted(&name, 1, "3600000");
    topic.config.insert("no.such.setting".to_owned(), "1".to_owned());
    let error = kafka::ensure(servers, vec![topic], open_fence())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TopicsError::Refused { topic, .. } if *topic == name),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_is_created_without_the_lease() {
    let Some(servers) = servers() else { return };
    let error = kafka::ensure(
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
    let error = kafka::ensure(servers.clone(), vec![wanted("any", 1, "1")], open_fence())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, TopicsError::Unreachable { bootstrap_servers } if *bootstrap_servers == servers),
        "{error:?}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
