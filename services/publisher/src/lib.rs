//! Copies the journal to Kafka: partition by partition, in order, at least once.
//!
//! Why readers can rely on it:
//! - Each event is sent after its predecessor, by an idempotent producer, to the Kafka partition with the
//!   journal partition's number. After a failure, everything after the last acknowledged event is sent again.
//!   So a reader meets each seq first in order, and recognizes repetitions by their seq.
//! - The checkpoint (seq and hash) covers acknowledged events only, and only the partition's current owner
//!   writes it: `UPDATE … WHERE epoch = mine AND owner = me`. An owner that froze and was replaced changes
//!   nothing when it wakes; whatever it still sends are repetitions.
//! - Before a partition is published, the checkpoint and the topic's last event are looked up in the journal.
//!   If the journal has a different event there, or none, it has lost its tail (restore, failover to an
//!   asynchronous standby): the partition stops loudly instead of giving old numbers to new events.
#![forbid(unsafe_code)]

mod engine;
mod metrics;
mod presence;
mod producer;
mod progress;
mod topic;

use std::time::Duration;

use rdkafka::ClientConfig;
use sqlx::PgPool;
use wallex_runtime::health::Health;
use wallex_runtime::redis::Accelerator;
use wallex_runtime::settings::{Settings, SettingsError};
use wallex_runtime::{CancellationToken, kafka};

/// The check that says whether events can be delivered to Kafka.
pub const TOPIC_CHECK: &str = "events topic";

/// A publisher's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the platform: the source of its events and the prefix of its Redis keys.
    pub platform: String,
    /// Unique among live replicas.
    pub instance: String,
    pub topic: String,
    pub producer: ClientConfig,
    /// Reads the end of the topic; joins no group.
    pub consumer: ClientConfig,
    /// Pause between two reads of the journal while nothing is new.
    pub poll_interval: Duration,
    /// How long a partition stays with a replica that shows no sign of life.
    pub lease: Duration,
}

impl Config {
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut consumer = kafka::consumer_config(settings, &format!("{}-publisher", settings.platform))?;
        consumer.set("enable.partition.eof", "true");
        Ok(Self {
            platform: settings.platform.clone(),
            instance: settings.instance.clone(),
            topic: settings.kafka_events_topic.clone(),
            producer: kafka::producer_config(settings)?,
            consumer,
            poll_interval: settings.poll_interval(),
            lease: settings.publisher_lease(),
        })
    }
}

/// Publishes until `shutdown`, then hands over its partitions. It waits out failures of PostgreSQL and Kafka, so it
/// never fails.
pub async fn run(
    config: Config,
    journal: PgPool,
    redis: Accelerator,
    health: &Health,
    shutdown: CancellationToken,
) {
    engine::Engine::new(config, journal, redis, health)
        .run(shutdown)
        .await;
}
