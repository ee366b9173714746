//! How a projector's consumer fetches: new events at once, a backlog in large pieces, all within bounded memory.

use rdkafka::ClientConfig;
use wallex_runtime::kafka;
use wallex_runtime::settings::{Settings, SettingsError};

pub(super) fn config(settings: &Settings, group: &str) -> Result<ClientConfig, SettingsError> {
    let mut config = kafka::consumer_config(settings, group)?;
    config
        // New partitions are found within this time; the default is 5 minutes.
        .set("topic.metadata.refresh.interval.ms", "30000")
        // `fetch.min.bytes` stays 1: what is new arrives at once, and the projector itself gathers more, only while there is
        // more. A fetch that finds nothing waits for this long at the broker.
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "16384")
        // When the queue is full, fetching resumes after this time. The default is a second, in which a projector
        // that is far behind would run dry.
        .set("fetch.queue.backoff.ms", "20")
        // The same after a failed fetch from a partition whose leader moves; the default is half a second.
        .set("fetch.error.backoff.ms", "100");
    Ok(config)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, Instant};

    use rdkafka::consumer::{Consumer as _, StreamConsumer};
    use rdkafka::message::Message as _;
    use rdkafka::producer::{FutureProducer, FutureRecord};
    use wallex_runtime::Flags;
    use wallex_testing::{create_topic, unique_name};

    use super::*;

    const MESSAGES: i64 = 30;

    /// Simulates a projector that is far behind: one fetch fills the queue, here with one message.
    #[tokio::test]
    async fn a_full_queue_does_not_make_a_consumer_run_dry() {
        let topic = unique_name("fetching");
        create_topic(&topic, 1).await;
        let settings = Settings::from_flags(&Flags {
            kafka_bootstrap_servers: Some(wallex_testing::kafka()),
            ..Flags::default()
        })
        .unwrap();
        let producer: FutureProducer = kafka::client_config(&settings).unwrap().create().unwrap();
        let payload = "x".repeat(2_048);
        for _ in 0..MESSAGES {
            let record = FutureRecord::<(), _>::to(&topic).payload(&payload);
            producer.send(record, Duration::from_secs(30)).await.unwrap();
        }

        let consumer: StreamConsumer = config(&settings, &unique_name("group"))
            .unwrap()
            .set("queued.max.messages.kbytes", "1")
            .set("fetch.message.max.bytes", "1024")
            .set("fetch.max.bytes", "1024")
            .set("message.max.bytes", "1024")
            .create()
            .unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        // Don't count the time it takes to join the group.
        consumer.recv().await.unwrap();
        let began = Instant::now();
        let mut offset = 0;
        while offset < MESSAGES - 1 {
            offset = consumer.recv().await.unwrap().offset();
        }
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{MESSAGES} messages took {took:?}"
        );
    }
}
