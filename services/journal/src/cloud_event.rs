//! Journal events as Kafka messages: the CloudEvents 1.0 Kafka binding in binary mode, where the payload is the
//! message's value and every field of the envelope a header. Independent of any Kafka client.
//!
//! The invariant: [`decode`] returns an event only if it is, byte for byte, one that the journal hashed. A message that
//! was damaged on its way is refused, and its reader takes the event of that seq from the journal.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;
use wallex_domain::{Partition, WalletId};

use crate::{Event, Hash};

/// The prefix of the journal's event type in `ce_type`.
const TYPE_PREFIX: &str = "dev.wallex.";

const CONTENT_TYPE: &str = "content-type";
const JSON: &str = "application/json";
const SPECVERSION: &str = "ce_specversion";
const ID: &str = "ce_id";
const SOURCE: &str = "ce_source";
const TYPE: &str = "ce_type";
const TIME: &str = "ce_time";
const SUBJECT: &str = "ce_subject";
const PARTITION: &str = "ce_partition";
const SEQ: &str = "ce_seq";
const VERSION: &str = "ce_version";
const TRANSACTION_ID: &str = "ce_transactionid";
const SCHEMA_VERSION: &str = "ce_schemaversion";
const ACTOR: &str = "ce_actor";
const RECORDED_AT: &str = "ce_recordedat";
const PREV_HASH: &str = "ce_prevhash";
const HASH: &str = "ce_hash";
const TRACEPARENT: &str = "ce_traceparent";
/// The same for consumers that know traces but not CloudEvents: their instrumentation expects W3C's own name.
const PLAIN_TRACEPARENT: &str = "traceparent";

/// The `ce_source` of a platform's events.
pub fn source(platform: &str) -> String {
    format!("wallex/{platform}")
}

/// The parts of one Kafka message. Its partition is the event's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The wallet's id: a wallet's events stay in order even for readers that repartition by key.
    pub key: String,
    pub payload: Bytes,
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
}

/// Writes `event` as a message of `source` (see [`source`]).
pub fn encode(event: &Event, source: &str) -> Message {
    let wallet = event.wallet_id.to_string();
    let mut headers: Vec<(&'static str, Cow<'static, str>)> = vec![
        (SPECVERSION, Cow::Borrowed("1.0")),
        (ID, event.event_id.to_string().into()),
        (SOURCE, source.to_owned().into()),
        (TYPE, format!("{TYPE_PREFIX}{}", event.event_type).into()),
        (SUBJECT, wallet.clone().into()),
        (CONTENT_TYPE, Cow::Borrowed(JSON)),
        (PARTITION, event.partition.to_string().into()),
        (SEQ, event.seq.to_string().into()),
        (VERSION, event.version.to_string().into()),
        (TRANSACTION_ID, event.transaction_id.to_string().into()),
        (SCHEMA_VERSION, event.schema_version.to_string().into()),
        (ACTOR, event.actor.clone().into()),
        (RECORDED_AT, event.recorded_at.to_string().into()),
        (PREV_HASH, event.prev_hash.to_string().into()),
        (HASH, event.hash.to_string().into()),
    ];
    // For readers other than Wallex; `ce_recordedat` is authoritative.
    if let Ok(time) = Timestamp::from_microsecond(event.recorded_at) {
        headers.push((TIME, time.to_string().into()));
    }
    if let Some(traceparent) = &event.traceparent {
        headers.push((TRACEPARENT, traceparent.clone().into()));
        headers.push((PLAIN_TRACEPARENT, traceparent.clone().into()));
    }
    Message {
        key: wallet,
        payload: event.payload.clone(),
        headers,
    }
}

/// Why a message is not an event of this journal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    #[error("header {0} is missing")]
    Missing(&'static str),
    #[error("header {0} stands there twice")]
    Twice(&'static str),
    #[error("header {0} does not hold what it must")]
    Malformed(&'static str),
    #[error("the message has no payload")]
    NoPayload,
    #[error("the message's key is not the wallet's id")]
    WrongKey,
    #[error("the message comes from {0}, not from this platform")]
    Foreign(String),
    #[error("the hash does not fit the content")]
    NotAuthentic,
}

/// Reads a message of `source` back, strictly: every header present once and well-formed, the hash recomputed. Headers
/// that are not Wallex's are accepted. `traceparent` is the only field not covered by a hash.
pub fn decode<'a>(
    source: &str,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> Result<Event, Invalid> {
    let fields = Fields::collect(headers)?;
    if fields.text(SPECVERSION)? != "1.0" {
        return Err(Invalid::Malformed(SPECVERSION));
    }
    if fields.text(CONTENT_TYPE)? != JSON {
        return Err(Invalid::Malformed(CONTENT_TYPE));
    }
    let from = fields.text(SOURCE)?;
    if from != source {
        return Err(Invalid::Foreign(from.to_owned()));
    }
    let wallet = fields.text(SUBJECT)?;
    if key != Some(wallet.as_bytes()) {
        return Err(Invalid::WrongKey);
    }
    let event = Event {
        event_id: fields.parse::<Uuid>(ID)?,
        transaction_id: fields.parse::<Uuid>(TRANSACTION_ID)?,
        partition: Partition(fields.parse(PARTITION)?),
        seq: fields.parse(SEQ)?,
        wallet_id: WalletId(fields.parse::<Uuid>(SUBJECT)?),
        version: fields.parse(VERSION)?,
        event_type: fields
            .text(TYPE)?
            .strip_prefix(TYPE_PREFIX)
            .ok_or(Invalid::Malformed(TYPE))?
            .to_owned(),
        schema_version: fields.parse(SCHEMA_VERSION)?,
        recorded_at: fields.parse(RECORDED_AT)?,
        actor: fields.text(ACTOR)?.to_owned(),
        traceparent: match fields.text(TRACEPARENT) {
            Ok(traceparent) => Some(traceparent.to_owned()),
            Err(Invalid::Missing(_)) => None,
            Err(invalid) => return Err(invalid),
        },
        payload: Bytes::copy_from_slice(payload.ok_or(Invalid::NoPayload)?),
        prev_hash: fields.parse::<Hash>(PREV_HASH)?,
        hash: fields.parse::<Hash>(HASH)?,
    };
    if event.is_authentic() {
        Ok(event)
    } else {
        Err(Invalid::NotAuthentic)
    }
}

/// The seq that a message claims, with nothing else checked: enough to skip quickly over what has been read before.
/// Only a reader that would drop the message anyway may rely on it.
pub fn claimed_seq<'a>(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Option<i64> {
    let (_, value) = headers.into_iter().find(|(name, _)| *name == SEQ)?;
    std::str::from_utf8(value?).ok()?.parse().ok()
}

/// The headers that [`decode`] reads, in the order of `Fields::values`.
const READ: [&str; 16] = [
    SPECVERSION,
    ID,
    SOURCE,
    TYPE,
    SUBJECT,
    CONTENT_TYPE,
    PARTITION,
    SEQ,
    VERSION,
    TRANSACTION_ID,
    SCHEMA_VERSION,
    ACTOR,
    RECORDED_AT,
    PREV_HASH,
    HASH,
    TRACEPARENT,
];

struct Fields<'a> {
    values: [Option<&'a [u8]>; READ.len()],
}

impl<'a> Fields<'a> {
    fn collect(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Result<Self, Invalid> {
        let mut values = [None; READ.len()];
        for (name, value) in headers {
            if let Some(i) = READ.iter().position(|read| *read == name)
                && values[i].replace(value.unwrap_or_default()).is_some()
            {
                return Err(Invalid::Twice(READ[i]));
            }
        }
        Ok(Self { values })
    }

    fn text(&self, name: &'static str) -> Result<&'a str, Invalid> {
        let value = READ
            .iter()
            .position(|read| *read == name)
            .and_then(|i| self.values[i])
            .ok_or(Invalid::Missing(name))?;
        std::str::from_utf8(value).map_err(|_| Invalid::Malformed(name))
    }

    fn parse<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, Invalid> {
        self.text(name)?.parse().map_err(|_| Invalid::Malformed(name))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SOURCE_OF_TESTS: &str = "wallex/test";

    fn event() -> Event {
        let mut event = Event {
            event_id: Uuid::from_u128(1),
            transaction_id: Uuid::from_u128(2),
            partition: Partition(3),
            seq: 1042,
            wallet_id: WalletId(Uuid::from_u128(4)),
            version: 7,
            event_type: "wallet.credited".to_owned(),
            schema_version: 1,
            recorded_at: 1_700_000_000_123_456,
            actor: "service:café".to_owned(),
            traceparent: None,
            payload: Bytes::from_static(br#"{"amount":5,"currency":"EUR","balance":12}"#),
            prev_hash: Hash([9; 32]),
            hash: Hash::GENESIS,
        };
        event.hash = event.compute_hash();
        event
    }

    fn read(message: &Message) -> Result<Event, Invalid> {
        decode(
            SOURCE_OF_TESTS,
            Some(message.key.as_bytes()),
            Some(&message.payload),
            message
                .headers
                .iter()
                .map(|(name, value)| (*name, Some(value.as_bytes()))),
        )
    }

    fn header<'m>(message: &'m mut Message, name: &str) -> &'m mut Cow<'static, str> {
        let (_, value) = message.headers.iter_mut().find(|(n, _)| *n == name).unwrap();
        value
    }

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let mut event = event();
        assert_eq!(read(&encode(&event, SOURCE_OF_TESTS)).as_ref(), Ok(&event));
        event.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
        assert_eq!(read(&encode(&event, SOURCE_OF_TESTS)).as_ref(), Ok(&event));
    }

    #[test]
    fn the_headers_are_those_of_the_cloud_events_kafka_binding() {
        let mut event = event();
        event.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
        let message = encode(&event, SOURCE_OF_TESTS);
        let written: Vec<String> = message
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        for expected in [
            "ce_specversion: 1.0",
            "ce_id: 00000000-0000-0000-0000-000000000001",
            "ce_source: wallex/test",
            "ce_type: dev.wallex.wallet.credited",
            "ce_time: 2023-11-14T22:13:20.123456Z",
            "ce_subject: 00000000-0000-0000-0000-000000000004",
            "content-type: application/json",
            "ce_partition: 3",
            "ce_seq: 1042",
            "ce_recordedat: 1700000000123456",
            "ce_traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(
                written.iter().any(|line| line == expected),
                "{expected} not in {written:#?}"
            );
        }
        assert_eq!(message.key, "00000000-0000-0000-0000-000000000004");
    }

    #[test]
    fn any_damage_to_a_hashed_field_is_noticed() {
        for name in READ.into_iter().filter(|name| *name != TRACEPARENT) {
            let mut message = encode(&event(), SOURCE_OF_TESTS);
            let value = header(&mut message, name).to_mut();
            // Replaces the last character by another one of the same kind, so that for most headers only the hash can
            // tell.
            let last = value.pop().unwrap();
            value.push(if last == '1' { '2' } else { '1' });
            assert!(read(&message).is_err(), "{name} changed unnoticed");

            let mut message = encode(&event(), SOURCE_OF_TESTS);
            message.headers.retain(|(n, _)| *n != name);
            assert_eq!(read(&message), Err(Invalid::Missing(name)));

            let mut message = encode(&event(), SOURCE_OF_TESTS);
            let again = header(&mut message, name).clone();
            message.headers.push((name, again));
            assert_eq!(read(&message), Err(Invalid::Twice(name)));
        }
    }

    #[test]
    fn damage_to_payload_or_key_is_noticed() {
        let whole = encode(&event(), SOURCE_OF_TESTS);
        let mut message = whole.clone();
        message.payload = Bytes::from_static(br#"{"amount":6,"currency":"EUR","balance":12}"#);
        assert_eq!(read(&message), Err(Invalid::NotAuthentic));
        let mut message = whole;
        message.key = Uuid::from_u128(5).to_string();
        assert_eq!(read(&message), Err(Invalid::WrongKey));
    }

    #[test]
    fn another_platforms_event_is_refused() {
        let message = encode(&event(), "wallex/other");
        assert_eq!(read(&message), Err(Invalid::Foreign("wallex/other".to_owned())));
    }

    #[test]
    fn the_claimed_seq_is_found_without_decoding() {
        let message = encode(&event(), SOURCE_OF_TESTS);
        let headers = message
            .headers
            .iter()
            .map(|(name, value)| (*name, Some(value.as_bytes())));
        assert_eq!(claimed_seq(headers), Some(1042));
    }
}
