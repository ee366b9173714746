//! Copies of parked events on the dead-letters topic, for people and other programs. The rows in `parked` are the
//! source of truth; a copy that cannot be delivered is only logged.

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use wallex_journal::cloud_event;
use wallex_projections::cursor::Parked;
use wallex_runtime::kafka;
use wallex_runtime::settings::{Settings, SettingsError};

use crate::metrics;

struct Reports(metrics::Letters);

impl ClientContext for Reports {
    wallex_runtime::logged!();
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => self.0.delivered.inc(),
            Err((error, _)) => not_copied(&self.0, error),
        }
    }
}

fn not_copied(counted: &metrics::Letters, error: &KafkaError) {
    counted.failed.inc();
    tracing::warn!(%error, "a parked event could not be copied to the dead-letters topic");
}

pub(crate) struct DeadLetters(Option<Letters>);

struct Letters {
    config: ClientConfig,
    topic: String,
    source: String,
    projection: &'static str,
    counted: metrics::Letters,
    /// Created with the first letter, which should never happen.
    producer: Option<ThreadedProducer<Reports>>,
}

impl DeadLetters {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn to(settings: &Settings, projection: &'static str) -> Result<Self, SettingsError> {
        let mut config = kafka::producer_config(settings)?;
        config.set("message.timeout.ms", "60000");
        Ok(Self(Some(Letters {
            config,
            topic: settings.kafka_dead_letters_topic.clone(),
            source: cloud_event::source(&settings.platform),
            projection,
            counted: metrics::Letters::of(projection),
            producer: None,
        })))
    }

    pub(crate) fn write(&mut self, parked: &[Parked]) {
        let Some(letters) = &mut self.0 else { return };
        for letter in parked {
            if let Err(error) = letters.write(letter) {
                not_copied(&letters.counted, &error);
            }
        }
    }
}

impl Letters {
    fn write(&mut self, parked: &Parked) -> Result<(), KafkaError> {
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => none.insert(self.config.create_with_context(Reports(self.counted.clone()))?),
        };
        let message = cloud_event::encode(&parked.event, &self.source);
        let about = [
            ("wallex_projection", self.projection),
            ("wallex_reason", &parked.reason),
        ];
        let event = message.headers.iter().map(|(key, value)| (*key, value.as_ref()));
        let record = BaseRecord::to(&self.topic)
            .key(message.key.as_bytes())
            .payload(message.payload.as_ref())
            .headers(kafka::headers(event.chain(about)));
        producer.send(record).map_err(|(error, _)| error)
    }
}
