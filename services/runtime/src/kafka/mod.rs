//! Kafka clients: their configuration, their log lines, and waiting for a broker that is away.

mod overview;
mod report;
mod security;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio_util::sync::CancellationToken;
use wallex_domain::Ailment;

use crate::backoff::{Backoff, Outage};
use crate::health::Check;
use crate::settings::{Settings, SettingsError};
pub use overview::Overview;
pub use report::{Group, GroupPartition, Report, Status, Topic, TopicPartition};

/// A broker that takes longer to return metadata counts as away.
/// The process can't end sooner than a call that has begun.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("shut down while waiting for Kafka (kafka_bootstrap_servers)")]
    ShutDown,
}

/// The configuration that any client needs to reach the brokers; roles add their own.
pub fn client_config(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let mut config = ClientConfig::new();
    security::secure(settings, &mut config)?;
    config
        .set("bootstrap.servers", settings.kafka_bootstrap_servers()?)
        .set("client.id", &settings.instance)
        .set("socket.keepalive.enable", "true")
        // A restarted broker is found again within this time; the default is 10 s.
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Info);
    Ok(config)
}

/// Idempotent producer: `acks=all`, no timeout of its own (a message stays until delivered or the producer is purged).
pub fn producer_config(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let mut config = client_config(settings)?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        // Long enough for a page that is being sent to become one request; the default is 5. A partition's next page comes
        // much later, so more would be waited for in vain, and without it a page becomes several requests.
        .set("linger.ms", "1")
        .set("compression.type", "lz4");
    Ok(config)
}

/// Consumer in `group` that reads from the beginning and commits offsets only when told to.
pub fn consumer_config(settings: &Settings, group: &str) -> Result<ClientConfig, SettingsError> {
    let mut config = client_config(settings)?;
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        // A killed consumer's partitions move on after this time; the default is 45 s.
        .set("session.timeout.ms", "10000")
        // Members learn of a rebalance with their next heartbeat; until then, partitions that move stand still. The
        // default, 3 s, is longer than reads wait for their position.
        .set("heartbeat.interval.ms", "1000");
    Ok(config)
}

/// The headers of a record to be sent.
pub fn headers<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.size_hint().0);
    headers.fold(empty, |headers, (key, value)| {
        let value = Some(value.as_bytes());
        headers.insert(Header { key, value })
    })
}

/// Waits until a broker answers a metadata request; retries forever like [`crate::database::connect`], also with `check`.
pub async fn wait(settings: &Settings, check: &Check, shutdown: &CancellationToken) -> Result<(), WaitError> {
    let servers = settings.kafka_bootstrap_servers()?.to_owned();
    let client: BaseConsumer<Quiet> =
        client_config(settings)?
            .create_with_context(Quiet)
            .map_err(|error| {
                SettingsError::invalid("kafka_bootstrap_servers", error.to_string(), "librdkafka")
            })?;
    let client = Arc::new(client);
    let mut backoff = Backoff::for_server();
    let outage = Outage::of("Kafka", servers, "kafka_bootstrap_servers");
    let mut outage = outage.shown_by(check, Ailment::KafkaUnreachable);
    loop {
        // librdkafka's call blocks its thread; if nobody waits any more, the thread ends with the call's own timeout.
        let asked = Arc::clone(&client);
        let attempt = tokio::task::spawn_blocking(move || {
            asked
                .fetch_metadata(None, METADATA_TIMEOUT)
                .map(|metadata| metadata.brokers().len())
        });
        let attempt = tokio::select! {
            () = shutdown.cancelled() => return Err(WaitError::ShutDown),
            attempt = attempt => attempt,
        };
        match attempt {
            Ok(Ok(brokers)) if brokers > 0 => {
                outage.over();
                return Ok(());
            }
            Ok(Ok(_)) => outage.failed("no broker is registered yet"),
            Ok(Err(error)) => outage.failed(&cause(&error)),
            Err(error) => outage.failed(&error.to_string()),
        }
        if !backoff.wait(shutdown).await {
            return Err(WaitError::ShutDown);
        }
    }
}

fn cause(error: &KafkaError) -> String {
    use rdkafka::types::RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    match error.rdkafka_error_code() {
        Some(BrokerTransportFailure | AllBrokersDown | OperationTimedOut) => {
            format!("no broker can be reached ({error})")
        }
        _ => error.to_string(),
    }
}

/// The members of a [`ClientContext`] that pass librdkafka's lines to [`log`](kafka::log) and
/// [`client_error`](kafka::client_error).
#[macro_export]
macro_rules! logged {
    () => {
        fn log(&self, level: ::rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
            $crate::kafka::log(level, facility, message);
        }

        fn error(&self, error: ::rdkafka::error::KafkaError, reason: &str) {
            $crate::kafka::client_error(&error, reason);
        }
    };
}

/// Context for clients without callbacks of their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl ClientContext for Quiet {
    crate::logged!();
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Logs a line of librdkafka. It repeats "connection refused" at error for as long as a broker is away, and the
/// client's user reports that in its own words; so only lines that librdkafka itself calls critical are logged above
/// debug.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// A global error of a client. Transport errors recover on their own; a fatal one (idempotence lost, fenced) does not.
pub fn client_error(error: &KafkaError, reason: &str) {
    if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::Fatal) {
        tracing::error!(target: "librdkafka", %error, reason, "Kafka client failed");
    } else {
        tracing::debug!(target: "librdkafka", %error, reason, "Kafka client error");
    }
}
