//! The client's configuration, and why brokers do not answer. Admin requests just time out, and the admin client passes on
//! neither errors nor log lines, so a second client finds out the reason.
//!
//! Depends only on the client library. Invariant: no message contains a secret.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Connection;

/// One request to the brokers. An unreachable cluster costs one of these per attempt.
pub(super) const REQUEST: Duration = Duration::from_secs(8);
/// How long the second client listens. A handshake takes milliseconds.
const LISTEN: Duration = Duration::from_secs(4);

/// The configuration of any client. `request` is the timeout of one request.
pub(super) fn config(connection: &Connection, request: Duration) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &connection.bootstrap_servers)
        .set("client.id", "wallex-operator")
        .set("socket.timeout.ms", request.as_millis().to_string());
    for (key, value) in &connection.security {
        config.set(*key, value);
    }
    config
}

/// Why brokers do not answer, in the client library's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// They do not trust us, or we do not trust them.
    Refused(String),
    Unreachable(String),
}

/// Collects the client library's errors, which would otherwise only be log lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Listener(Arc<Mutex<Option<Complaint>>>);

impl Listener {
    fn heard(&self) -> Option<Complaint> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        let said = what_happened(reason).to_owned();
        let complaint = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL,
            ) => Complaint::Refused(said),
            // Only repeats that every broker failed, and would hide the reason.
            Some(RDKafkaErrorCode::AllBrokersDown) => return,
            // Not our own enum: covers anything else that prevents a connection.
            _ => Complaint::Unreachable(said),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(complaint);
    }

    /// Anything important in these lines also arrives as an error.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }
}

impl ConsumerContext for Listener {}

/// Why the brokers do not answer; none when they do, or when no reason was found. Blocks for at most [`LISTEN`].
pub(super) fn complaint(connection: &Connection) -> Option<Complaint> {
    let listener = Listener::default();
    let client: BaseConsumer<Listener> = config(connection, LISTEN)
        .create_with_context(listener.clone())
        .ok()?;
    let until = Instant::now() + LISTEN;
    while Instant::now() < until {
        // A client without a request to send does not connect.
        if client.fetch_metadata(None, Duration::from_millis(200)).is_ok() {
            return None;
        }
        // Errors are delivered when the client is polled; it has no subscription, so there are no messages.
        while client.poll(Duration::ZERO).is_some() {}
        if let Some(complaint) = listener.heard() {
            return Some(complaint);
        }
    }
    None
}

/// The part between the address and the timing: `sasl_ssl://kafka:9093/bootstrap: SASL … (after 310ms in state AUTH_REQ)`.
fn what_happened(reason: &str) -> &str {
    let said = reason.split_once("/bootstrap: ").map_or(reason, |(_, said)| said);
    said.split_once(" (after ").map_or(said, |(said, _)| said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_without_what_is_known() {
        assert_eq!(
            what_happened(
                "sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed (after 310ms in state AUTH_REQ)"
            ),
            "SASL authentication error: Authentication failed"
        );
        assert_eq!(what_happened("anything else"), "anything else");
    }
}
