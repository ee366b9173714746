//! Classifies a message: an event of this journal, one that the cursor has passed, or neither.

use std::collections::BTreeMap;

use rdkafka::message::{BorrowedMessage, Headers, Message};
use wallex_domain::{Mark, Partition};
use wallex_journal::{Event, cloud_event};

use crate::inbox::TO_THE_END;
use crate::source::News;

/// One message, copied out of the client's memory.
pub(super) struct Received {
    pub(super) partition: Partition,
    offset: i64,
    pub(super) content: Content,
}

pub(super) enum Content {
    Event(Box<Event>),
    /// Already passed by the cursor, judging by what it claims.
    Old,
    Invalid(String),
}

/// Copies a message out of the client's memory. `cursors` say what is applied; `source` is whose events are wanted.
pub(super) fn receive(
    message: &BorrowedMessage<'_>,
    source: &str,
    cursors: &BTreeMap<Partition, Mark>,
) -> Received {
    let partition = Partition(message.partition());
    let headers = || {
        message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter().map(|header| (header.key, header.value)))
    };
    let passed = cursors
        .get(&partition)
        .is_some_and(|cursor| cloud_event::claimed_seq(headers()).is_some_and(|seq| seq <= cursor.seq));
    let content = if passed {
        Content::Old
    } else {
        match cloud_event::decode(source, message.key(), message.payload(), headers()) {
            Ok(event) if event.partition == partition => Content::Event(Box::new(event)),
            Ok(event) => Content::Invalid(format!("it belongs to partition {}", event.partition)),
            Err(invalid) => Content::Invalid(invalid.to_string()),
        }
    };
    Received {
        partition,
        offset: message.offset(),
        content,
    }
}

/// Adds a message to the news.
pub(super) fn take(news: &mut News, received: Received) {
    let arrived = news.batch.partition(received.partition);
    arrived.offset = arrived.offset.max(Some(received.offset));
    match received.content {
        Content::Old => {}
        Content::Event(event) => arrived.push(*event),
        Content::Invalid(cause) => {
            tracing::warn!(
                partition = %received.partition, offset = received.offset, cause,
                "a message is not an event of this journal: reading the journal instead"
            );
            news.refused += 1;
            // It is not known which seq it stands for.
            arrived.fill_to(TO_THE_END);
        }
    }
}
