//! Copies the journal to Kafka: partition by partition, in order, at least once.
//!
//! Why readers can rely on it:
//! - An event is sent only after the one before it, with an idempotent producer, to the Kafka partition of
//!   the journal partition's number. After a failure everything after the last acknowledged event is sent
//!   again, so a reader meets each seq first in order, and repetitions it knows by their seq.
//! - The checkpoint (seq and hash) covers acknowledged events only and is written by whoever owns the
//!   partition at that moment: `UPDATE … WHERE epoch = mine AND owner = me`. An owner that was frozen and is replaced
//!   changes nothing when it wakes; what it still sends are repetitions.
//! - Before a partition is published, the checkpoint and the topic's last event are looked up in the journal.
//!   If it has another event there, or none, the journal lost its tail (restore, fail-over to an
//!   asynchronous standby): the partition stops, loudly, instead of giving old numbers to new events.
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

/// The check that says whether events can be brought to Kafka.
pub const TOPIC_CHECK: &str = "events topic";

/// What a publisher has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the platform: the source of its events, the prefix of its Redis keys.
    pub platform: String,
    /// Unique among living replicas.
    pub instance: String,
    pub topic: String,
    pub producer: ClientConfig,
    /// For reading the topic's end; joins no group.
    pub consumer: ClientConfig,
    /// Between two looks at the journal while nothing is new.
    pub poll_interval: Duration,
    /// How long a partition stays with a replica that gives no sign of life.
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

/// Publishes until `shutdown`; then hands over what it holds. Troubles of PostgreSQL and Kafka are waited
/// out, so it does not fail.
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
