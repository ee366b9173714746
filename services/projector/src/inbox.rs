//! What a source delivered and has not been applied yet, by partition. Pure.
//!
//! The invariant: it holds only authentic events, each seq once; whether they belong to this journal is for the
//! applier to find out.

use std::collections::BTreeMap;

use wallex_domain::{Mark, Partition};
use wallex_journal::Event;

/// Everything that the journal has.
pub(crate) const TO_THE_END: i64 = i64::MAX;

#[derive(Debug, Default)]
pub(crate) struct Arrived {
    events: BTreeMap<i64, Event>,
    /// Read the journal up to this seq (inclusive), or to its end if that comes first.
    fill_to: Option<i64>,
    /// The highest Kafka offset among the arrivals.
    pub(crate) offset: Option<i64>,
}

impl Arrived {
    /// Adds an event read from a message. The first copy stays.
    pub(crate) fn push(&mut self, event: Event) {
        self.events.entry(event.seq).or_insert(event);
    }

    /// Asks for the journal's own events up to `seq`.
    pub(crate) fn fill_to(&mut self, seq: i64) {
        self.fill_to = self.fill_to.max(Some(seq));
    }

    pub(crate) fn filled(&mut self) {
        self.fill_to = None;
    }

    /// Forgets what the cursor has passed.
    pub(crate) fn drop_through(&mut self, cursor: Mark) {
        if self
            .events
            .first_key_value()
            .is_some_and(|(seq, _)| *seq <= cursor.seq)
        {
            self.events = self.events.split_off(&(cursor.seq + 1));
        }
        self.fill_to = self.fill_to.filter(|seq| *seq > cursor.seq);
    }

    /// Nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.events.is_empty() && self.fill_to.is_none()
    }

    /// The length of the longest run that continues `cursor` without a gap, at most `limit`.
    pub(crate) fn run(&self, cursor: Mark, limit: usize) -> usize {
        let mut at = cursor;
        self.events
            .values()
            .take(limit)
            .take_while(|event| {
                let next = event.follows(at);
                at = event.mark();
                next
            })
            .count()
    }

    /// The first `n` events.
    pub(crate) fn first(&self, n: usize) -> impl Iterator<Item = &Event> {
        self.events.values().take(n)
    }

    /// The first `n` events are not the journal's; replace them with what it has.
    pub(crate) fn refuse(&mut self, n: usize) {
        let Some(last) = self.events.keys().take(n).last().copied() else {
            return;
        };
        self.events = self.events.split_off(&(last + 1));
        self.fill_to(last);
    }

    /// How far the journal must be read before the arrivals can continue: to just before the first event if there is a
    /// hole, and including it if it does not continue the chain.
    pub(crate) fn missing_to(&self, cursor: Mark) -> Option<i64> {
        let hole = self
            .events
            .first_key_value()
            .map(|(seq, _)| if *seq == cursor.seq + 1 { *seq } else { seq - 1 });
        self.fill_to.max(hole)
    }
}

/// The arrivals by partition.
#[derive(Debug, Default)]
pub(crate) struct Batch(pub(crate) BTreeMap<Partition, Arrived>);

impl Batch {
    pub(crate) fn partition(&mut self, partition: Partition) -> &mut Arrived {
        self.0.entry(partition).or_default()
    }

    /// Nothing is left to do in any partition.
    pub(crate) fn is_done(&self) -> bool {
        self.0.values().all(Arrived::is_done)
    }

    /// The partitions that are not done, ascending.
    pub(crate) fn open(&self) -> Vec<Partition> {
        self.0
            .iter()
            .filter(|(_, arrived)| !arrived.is_done())
            .map(|(partition, _)| *partition)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;
    use wallex_domain::WalletId;
    use wallex_journal::Hash;

    use super::*;

    /// Events 1..=n of one chain.
    fn chain(n: i64) -> Vec<Event> {
        let mut prev_hash = Hash::GENESIS;
        (1..=n)
            .map(|seq| {
                let mut event = Event {
                    event_id: Uuid::from_u128(seq as u128),
                    transaction_id: Uuid::nil(),
                    partition: Partition(0),
                    seq,
                    wallet_id: WalletId(Uuid::nil()),
                    version: seq,
                    event_type: "wallet.credited".to_owned(),
                    schema_version: 1,
                    recorded_at: 0,
                    actor: String::new(),
                    traceparent: None,
                    payload: Bytes::new(),
                    prev_hash,
                    hash: Hash::GENESIS,
                };
                event.hash = event.compute_hash();
                prev_hash = event.hash;
                event
            })
            .collect()
    }

    fn arrived(events: impl IntoIterator<Item = Event>) -> Arrived {
        let mut arrived = Arrived::default();
        events.into_iter().for_each(|event| arrived.push(event));
        arrived
    }

    #[test]
    fn order_of_arrival_and_repetitions_do_not_matter() {
        let mut events = chain(5);
        events.extend(chain(3));
        events.reverse();
        let arrived = arrived(events);
        assert_eq!(arrived.run(Mark::BEGINNING, 100), 5);
        assert_eq!(arrived.run(Mark::BEGINNING, 2), 2);
    }

    #[test]
    fn what_the_cursor_has_is_dropped() {
        let events = chain(5);
        let cursor = events[2].mark();
        let mut arrived = arrived(events);
        arrived.fill_to(3);
        arrived.drop_through(cursor);
        assert_eq!(
            (
                arrived.first(1).next().map(|event| event.seq),
                arrived.run(cursor, 100)
            ),
            (Some(4), 2)
        );
        arrived.drop_through(Mark { seq: 5, ..cursor });
        assert!(arrived.is_done());
    }

    #[test]
    fn a_hole_is_asked_of_the_journal() {
        let mut events = chain(5);
        let last = events.split_off(4);
        let arrived = arrived(last);
        assert_eq!(arrived.run(Mark::BEGINNING, 100), 0);
        assert_eq!(arrived.missing_to(Mark::BEGINNING), Some(4));
    }

    #[test]
    fn an_event_of_another_chain_is_asked_of_the_journal() {
        let other = Mark {
            seq: 0,
            hash: Hash([1; 32]),
        };
        let mut arrived = arrived(chain(3));
        assert_eq!((arrived.run(other, 100), arrived.missing_to(other)), (0, Some(1)));
        arrived.refuse(2);
        assert_eq!(
            (
                arrived.first(1).next().map(|event| event.seq),
                arrived.missing_to(other)
            ),
            (Some(3), Some(2))
        );
    }
}
