//! The idempotent producer. Its delivery reports arrive as messages on a channel.
//!
//! The invariant: one [`Producer`] is one life. After any failed delivery it is dropped with everything it
//! still held, and a new one starts again from the checkpoint.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::mpsc;
use wallex_domain::Partition;
use wallex_journal::Event;
use wallex_journal::cloud_event;
use wallex_runtime::kafka;

/// What became of one message.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The life of the producer that sent it.
    pub(crate) life: u64,
    pub(crate) partition: Partition,
    pub(crate) seq: i64,
    /// The record's offset; negative when the broker did not say.
    pub(crate) outcome: Result<i64, KafkaError>,
}

struct Reports {
    life: u64,
    deliveries: mpsc::UnboundedSender<Delivery>,
}

impl ClientContext for Reports {
    wallex_runtime::logged!();
}

impl ProducerContext for Reports {
    /// The seq. Sequences fit: they start at 1 and a usize has 64 bits wherever Wallex runs.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, seq: usize) {
        let (message, outcome) = match result {
            Ok(message) => (message, Ok(message.offset())),
            Err((error, message)) => (message, Err(error.clone())),
        };
        // Fails only when the publisher is gone, and then nobody is interested.
        let _ = self.deliveries.send(Delivery {
            life: self.life,
            partition: Partition(message.partition()),
            seq: seq as i64,
            outcome,
        });
    }
}

pub(crate) struct Producer {
    native: ThreadedProducer<Reports>,
    topic: String,
    source: String,
    pub(crate) life: u64,
}

/// Why a message was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The queue is full: try later.
    Full,
    Failed(KafkaError),
}

impl Producer {
    pub(crate) fn create(
        config: &ClientConfig,
        topic: &str,
        source: &str,
        life: u64,
        deliveries: mpsc::UnboundedSender<Delivery>,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            native: config.create_with_context(Reports { life, deliveries })?,
            topic: topic.to_owned(),
            source: source.to_owned(),
            life,
        })
    }

    /// Puts one event into the producer's queue; the outcome arrives as a [`Delivery`].
    pub(crate) fn send(&self, event: &Event) -> Result<(), Refused> {
        let message = cloud_event::encode(event, &self.source);
        let headers = message.headers.iter().map(|(key, value)| (*key, value.as_ref()));
        let record = BaseRecord::with_opaque_to(&self.topic, event.seq as usize)
            .partition(event.partition.0)
            .key(message.key.as_bytes())
            .payload(message.payload.as_ref())
            .headers(kafka::headers(headers));
        self.native.send(record).map_err(|(error, _)| match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => Refused::Full,
            error => Refused::Failed(error),
        })
    }
}
