use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message as _, TopicPartitionList};
use std::time::Duration;
use tracing::Level;
use wallex_platform::kafka::{self, WaitError};
use wallex_platform::{CancellationToken, Flags, Settings};
use wallex_testing::{create_topic, eventually, unique_name};

use crate::DEADLINE;
use crate::door::Door;
use crate::lines::Lines;

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
    let stop = CancellationToken::new();
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
    let (waited, ()) = tokio::join!(kafka::wait(&settings, &stop), looking);
    assert!(matches!(waited, Err(WaitError::ShutDown)));
    assert_eq!(lines.with(&["WARN"]).len(), 1, "{:?}", lines.all());
}

#[tokio::test]
async fn the_configurations_carry_a_message_from_producer_to_consumer() {
    let settings = settings(wallex_testing::kafka());
    kafka::wait(&settings, &CancellationToken::new()).await.unwrap();
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
    // A Kafka that has just been started refuses once or twice ("not coordinator") while it makes its own topics.
    let message = eventually(DEADLINE, "the message", async || consumer.recv().await.ok()).await;
    assert_eq!((message.partition(), message.payload()), (2, Some(&b"event"[..])));
}

#[tokio::test]
async fn without_servers_the_setting_is_named() {
    let settings = Settings::from_flags(&Flags::default()).unwrap();
    let error = kafka::wait(&settings, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("kafka_bootstrap_servers is not set"),
        "{error}"
    );
}
