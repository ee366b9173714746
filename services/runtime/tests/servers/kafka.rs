use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tracing::Level;
use wallex_runtime::kafka::{self, GroupPartition, Overview, Status, WaitError};
use wallex_runtime::{CancellationToken, Flags, Settings};
use wallex_testing::{create_topic, eventually, unique_name};

use crate::door::Door;
use crate::lines::Lines;
use crate::{DEADLINE, check};

fn settings(servers: String) -> Settings {
    Settings::from_flags(&Flags {
        kafka_bootstrap_servers: Some(servers),
        ..Flags::default()
    })
    .unwrap()
}

#[tokio::test]
async fn waiting_for_kafka_says_why_once_and_ends_on_shutdown() {
    let door = Door::shut();
    let settings = settings(door.address.to_string());
    let lines = Lines::collect(Level::DEBUG);
    let (check, stop) = (check(), CancellationToken::new());
    let looking = async {
        let words = [
            "WARN",
            "kafka_bootstrap_servers",
            &door.address.to_string(),
            "no broker can be reached",
        ];
        eventually(DEADLINE, "a complaint", async || lines.with(&words).pop()).await;
        eventually(DEADLINE, "a second try", async || {
            (lines.with(&["trying again"]).len() > 1).then_some(())
        })
        .await;
        stop.cancel();
    };
    let (waited, ()) = tokio::join!(kafka::wait(&settings, &check, &stop), looking);
    assert!(matches!(waited, Err(WaitError::ShutDown)));
    assert!(format!("{check:?}").contains("KafkaUnreachable"));
    assert_eq!(lines.with(&["WARN"]).len(), 1, "{:?}", lines.all());
}

#[tokio::test]
async fn the_configurations_carry_a_message_from_producer_to_consumer() {
    let settings = settings(wallex_testing::kafka());
    kafka::wait(&settings, &check(), &CancellationToken::new())
        .await
        .unwrap();
    let topic = unique_name("platform");
    create_topic(&topic, 3).await;
    let producer: FutureProducer = kafka::producer_config(&settings).unwrap().create().unwrap();
    let record = FutureRecord::to(&topic)
        .partition(2)
        .key("wallet")
        .payload("event");
    producer.send(record, Duration::ZERO).await.unwrap();
    let consumer: StreamConsumer = kafka::consumer_config(&settings, &unique_name("group"))
        .unwrap()
        .create()
        .unwrap();
    let mut everything = TopicPartitionList::new();
    everything.add_partition(&topic, 2);
    consumer.assign(&everything).unwrap();
    // A freshly started Kafka refuses once or twice ("not coordinator") while it creates its internal topics.
    let message = eventually(DEADLINE, "the message", async || consumer.recv().await.ok()).await;
    assert_eq!((message.partition(), message.payload()), (2, Some(&b"event"[..])));
}

#[tokio::test]
async fn without_servers_the_setting_is_named() {
    let settings = Settings::from_flags(&Flags::default()).unwrap();
    let error = kafka::wait(&settings, &check(), &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("kafka_bootstrap_servers is not set"),
        "{error}"
    );
}

/// Settings with separate topics, on the real Kafka.
fn with_topics() -> Settings {
    let name = unique_name("overview");
    Settings {
        kafka_events_topic: format!("{name}-events"),
        kafka_dead_letters_topic: format!("{name}-dlq"),
        ..settings(wallex_testing::kafka())
    }
}

#[tokio::test]
async fn the_overview_shows_topics_and_the_lag_of_each_group() {
    let settings = with_topics();
    let events = settings.kafka_events_topic.clone();
    create_topic(&events, 2).await;
    create_topic(&settings.kafka_dead_letters_topic, 1).await;
    let producer: FutureProducer = kafka::producer_config(&settings).unwrap().create().unwrap();
    for _ in 0..3 {
        let record = FutureRecord::to(&events)
            .partition(1)
            .key("wallet")
            .payload("event");
        producer.send(record, Duration::ZERO).await.unwrap();
    }
    let (reads, new) = (unique_name("group"), unique_name("group"));
    let consumer: StreamConsumer = kafka::consumer_config(&settings, &reads)
        .unwrap()
        .create()
        .unwrap();
    let mut read = TopicPartitionList::new();
    read.add_partition_offset(&events, 1, Offset::Offset(1)).unwrap();
    eventually(DEADLINE, "the commit", async || {
        consumer.commit(&read, CommitMode::Sync).ok()
    })
    .await;

    let overview = Overview::new(&settings, vec![reads.clone(), new.clone()]);
    // Each group's coordinator is found at the first look, and that may take longer than a look.
    let report = eventually(DEADLINE, "all to be seen", async || {
        let report = overview.report().await;
        (report.status == Status::Ready).then_some(report)
    })
    .await;
    assert_eq!((report.reason.as_deref(), report.brokers), (None, 1));
    let seen: Vec<_> = report
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.partitions.len()))
        .collect();
    assert_eq!(
        seen,
        [
            (events.as_str(), 2),
            (settings.kafka_dead_letters_topic.as_str(), 1)
        ]
    );
    let written = &report.topics[0].partitions[1];
    assert!(written.leader.is_some());
    assert_eq!((written.first_offset, written.end_offset), (Some(0), Some(3)));
    let lags: Vec<_> = report
        .groups
        .iter()
        .map(|group| (group.name.as_str(), group.lag))
        .collect();
    assert_eq!(lags, [(reads.as_str(), Some(2)), (new.as_str(), Some(3))]);
    let expected = GroupPartition {
        partition: 1,
        committed_offset: Some(1),
        lag: Some(2),
    };
    assert_eq!(report.groups[0].partitions[1], expected);
    // Its last answer serves whoever asks right afterwards.
    assert_eq!(overview.clone().report().await, report);
}

#[tokio::test]
async fn a_missing_topic_is_named_and_not_made_by_looking() {
    let settings = with_topics();
    create_topic(&settings.kafka_events_topic, 1).await;
    let missing = format!("topic {} does not exist", settings.kafka_dead_letters_topic);
    for _ in 0..2 {
        // A new one each time, so that it has no last answer.
        let report = Overview::new(&settings, Vec::new()).report().await;
        assert_eq!(report.status, Status::Unready);
        assert_eq!(report.reason.as_deref(), Some(missing.as_str()));
        assert_eq!(report.topics[0].partitions.len(), 1);
    }
}

#[tokio::test]
async fn an_overview_of_a_kafka_that_is_away_comes_in_time() {
    let mut silent = Door::shut();
    silent.open_silent();
    for (servers, expected) in [
        (Door::shut().address, "no broker can be reached"),
        (silent.address, "no broker can be reached"),
    ] {
        let overview = Overview::new(&settings(servers.to_string()), vec![unique_name("group")]);
        let asked = Instant::now();
        // Many ask at once and get the same answer.
        let (one, two) = tokio::join!(overview.report(), overview.report());
        assert!(
            asked.elapsed() < Duration::from_secs(15),
            "took {:?}",
            asked.elapsed()
        );
        assert_eq!((one.status, &one), (Status::Unready, &two));
        assert!(one.reason.as_deref().unwrap().contains(expected), "{one:?}");
    }
}

#[tokio::test]
async fn a_process_without_kafka_says_so() {
    let settings = Settings::from_flags(&Flags::default()).unwrap();
    for overview in [Overview::new(&settings, Vec::new()), Overview::none()] {
        let report = overview.report().await;
        assert_eq!(report.status, Status::NotConfigured);
        assert!(
            report
                .reason
                .as_deref()
                .unwrap()
                .starts_with("kafka_bootstrap_servers")
        );
    }
}

/// Over TLS, with user name and password: a consumer reads what a producer sends.
#[tokio::test]
async fn the_configurations_carry_a_message_through_tls_with_a_name_and_a_password() {
    let Ok(servers) = std::env::var("WALLEX_TEST_KAFKA_SECURE") else {
        eprintln!("skipped: WALLEX_TEST_KAFKA_SECURE is not set");
        return;
    };
    let file = std::env::var("WALLEX_TEST_KAFKA_CA").unwrap();
    let authority = std::fs::read_to_string(&file).unwrap();
    let topic = unique_name("secure");
    create_topic(&topic, 1).await;
    for (mechanism, authority) in [("SCRAM-SHA-512", authority), ("PLAIN", file)] {
        let settings = Settings::from_flags(&Flags {
            kafka_bootstrap_servers: Some(servers.clone()),
            kafka_security_protocol: Some("sasl_ssl".to_owned()),
            kafka_ca: Some(authority),
            kafka_sasl_mechanism: Some(mechanism.to_owned()),
            kafka_sasl_username: Some("wallex".to_owned()),
            kafka_sasl_password: Some(std::env::var("WALLEX_TEST_KAFKA_PASSWORD").unwrap()),
            ..Flags::default()
        })
        .unwrap();
        kafka::wait(&settings, &check(), &CancellationToken::new())
            .await
            .unwrap();
        let producer: FutureProducer = kafka::producer_config(&settings).unwrap().create().unwrap();
        let record = FutureRecord::to(&topic).key("wallet").payload(mechanism);
        producer.send(record, Duration::ZERO).await.unwrap();
        let consumer: StreamConsumer = kafka::consumer_config(&settings, &unique_name("group"))
            .unwrap()
            .create()
            .unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        let read = async {
            loop {
                let message = consumer.recv().await.unwrap();
                if message.payload() == Some(mechanism.as_bytes()) {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, read).await.unwrap();
    }
}
