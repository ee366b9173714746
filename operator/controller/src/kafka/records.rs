//! Records that the operator itself reads and writes: the claims to topics, and the last records of a topic that another program
//! may use.
//!
//! Everything blocks, for at most [`REQUEST`] per call. No consumer joins a group, so none needs rights on one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Listener, REQUEST};
use super::owners::{self, Claim, Claims};
use super::{Connection, client};

/// The header that names an event's source.
const SOURCE: &str = "ce_source";

/// A reader of topic records. Its errors come from `poll`: the end of a partition is not worth logging.
fn listen(connection: &Connection) -> Result<BaseConsumer<Listener>, KafkaError> {
    let mut config = client::config(connection, REQUEST);
    config
        .set("group.id", "wallex-operator")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false");
    config.create_with_context(Listener::default())
}

/// Reads from where `from` says to the end of each partition.
fn read_to_end(
    consumer: &BaseConsumer<Listener>,
    from: &TopicPartitionList,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), KafkaError> {
    let mut open = from.count();
    if open == 0 {
        return Ok(());
    }
    consumer.assign(from)?;
    let until = Instant::now() + REQUEST;
    while open > 0 {
        if Instant::now() >= until {
            return Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::OperationTimedOut,
            ));
        }
        match consumer.poll(Duration::from_millis(200)) {
            None => {}
            Some(Ok(message)) => each(&message),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            // The client retries on its own, within the time limit.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
            ))) => {}
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(())
}

/// All claims to topics.
pub(super) fn claims(connection: &Connection) -> Result<Claims, KafkaError> {
    let consumer = listen(connection)?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(owners::TOPIC, 0, Offset::Beginning)?;
    let mut records: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    read_to_end(&consumer, &from, |message| {
        let key = message.key().unwrap_or_default().to_vec();
        records.push((key, message.payload().map(<[u8]>::to_vec)));
    })?;
    let records = records
        .iter()
        .map(|(key, value)| (key.as_slice(), value.as_deref()));
    Ok(Claims::read(records))
}

/// Writes or withdraws a claim. Returns once all in-sync replicas have it.
pub(super) async fn write(connection: &Connection, claim: &Claim, stands: bool) -> Result<(), KafkaError> {
    let producer: FutureProducer = client::config(connection, REQUEST)
        .set("acks", "all")
        .set("message.timeout.ms", REQUEST.as_millis().to_string())
        .create()?;
    let key = claim.key();
    let value = serde_json::to_vec(claim).unwrap_or_default();
    let mut record = FutureRecord::to(owners::TOPIC).partition(0).key(&key);
    if stands {
        record = record.payload(&value);
    }
    let sent = producer.send(record, REQUEST).await;
    sent.map(drop).map_err(|(error, _)| error)
}

/// Whether any partition's last records include one that is not from `source`.
pub(super) fn has_foreign(
    connection: &Connection,
    topic: &str,
    partitions: i32,
    source: &str,
) -> Result<bool, KafkaError> {
    let consumer = listen(connection)?;
    let mut from = TopicPartitionList::new();
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, REQUEST)?;
        if low < high {
            from.add_partition_offset(topic, partition, Offset::Offset(low.max(high - 1)))?;
        }
    }
    let mut last: BTreeMap<i32, bool> = BTreeMap::new();
    read_to_end(&consumer, &from, |message| {
        let said = message.headers().and_then(|headers| {
            let mut headers = headers.iter();
            headers.find(|header| header.key == SOURCE)?.value
        });
        last.insert(message.partition(), said == Some(source.as_bytes()));
    })?;
    Ok(last.values().any(|ours| !ours))
}
