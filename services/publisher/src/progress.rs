//! How far one partition has been published: sent, acknowledged, saved. Pure.
//!
//! The invariant: `acked` only advances over a contiguous prefix of what was sent, so everything up to it is
//! in the topic. Nothing else is ever saved as the checkpoint.

use std::collections::VecDeque;

use wallex_domain::Mark;

/// What an acknowledgement meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// The acknowledged prefix grew.
    Advanced,
    /// Not for the event that is due, but for an earlier copy, sent before the partition was lost and taken again.
    Stale,
    /// The record is the first in a topic partition that had records before: the partition was recreated.
    Recreated,
}

#[derive(Debug)]
pub(crate) struct Progress {
    sent: Mark,
    acked: Mark,
    saved: Option<Mark>,
    in_flight: VecDeque<Mark>,
    last_offset: i64,
}

impl Progress {
    /// Starts at the checkpoint read from the database.
    pub(crate) fn at(checkpoint: Mark) -> Self {
        Self {
            sent: checkpoint,
            acked: checkpoint,
            saved: Some(checkpoint),
            in_flight: VecDeque::new(),
            last_offset: -1,
        }
    }

    /// The last event given to the producer.
    pub(crate) fn sent(&self) -> Mark {
        self.sent
    }

    /// Everything up to here is in the topic.
    pub(crate) fn acked(&self) -> Mark {
        self.acked
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The checkpoint to write, if it has changed.
    pub(crate) fn unsaved(&self) -> Option<Mark> {
        (self.saved != Some(self.acked)).then_some(self.acked)
    }

    /// Events acknowledged since the last save.
    pub(crate) fn unsaved_events(&self) -> i64 {
        self.saved.map_or(0, |saved| {
            self.acked.seq.abs_diff(saved.seq).try_into().unwrap_or(i64::MAX)
        })
    }

    pub(crate) fn record_saved(&mut self, mark: Mark) {
        self.saved = Some(mark);
    }

    /// Starts sending after `mark`; the topic's last offset is `last_offset` (-1: none). Forgets what was in
    /// flight, because its producer is gone.
    pub(crate) fn resume(&mut self, mark: Mark, last_offset: i64) {
        self.sent = mark;
        self.acked = mark;
        self.in_flight.clear();
        self.last_offset = last_offset;
    }

    pub(crate) fn record_sent(&mut self, mark: Mark) {
        self.sent = mark;
        self.in_flight.push_back(mark);
    }

    /// The broker has event `seq` at `offset` (negative: not reported, as for a retry of a record it already had).
    pub(crate) fn record_acked(&mut self, seq: i64, offset: i64) -> Acked {
        let Some(due) = self.in_flight.front().copied().filter(|due| due.seq == seq) else {
            return Acked::Stale;
        };
        if offset == 0 && self.last_offset >= 0 {
            return Acked::Recreated;
        }
        self.last_offset = self.last_offset.max(offset);
        self.in_flight.pop_front();
        self.acked = due;
        Acked::Advanced
    }
}

#[cfg(test)]
mod tests {
    use wallex_domain::Hash;

    use super::*;

    fn mark(seq: i64) -> Mark {
        Mark {
            seq,
            hash: Hash([seq as u8; 32]),
        }
    }

    fn sending(seqs: std::ops::RangeInclusive<i64>) -> Progress {
        let mut progress = Progress::at(mark(seqs.start() - 1));
        seqs.for_each(|seq| progress.record_sent(mark(seq)));
        progress
    }

    #[test]
    fn the_checkpoint_moves_only_over_what_was_acknowledged() {
        let mut progress = sending(11..=13);
        assert_eq!(progress.unsaved(), None);
        assert_eq!(progress.record_acked(11, 50), Acked::Advanced);
        assert_eq!(
            (progress.unsaved(), progress.unsaved_events()),
            (Some(mark(11)), 1)
        );
        progress.record_saved(mark(11));
        assert_eq!((progress.unsaved(), progress.in_flight()), (None, 2));
    }

    #[test]
    fn an_acknowledgement_of_another_event_moves_nothing() {
        let mut progress = sending(11..=13);
        assert_eq!(progress.record_acked(12, 51), Acked::Stale);
        assert_eq!(progress.record_acked(10, 49), Acked::Stale);
        assert_eq!((progress.acked(), progress.in_flight()), (mark(10), 3));
    }

    #[test]
    fn a_first_record_where_there_were_others_tells_of_a_recreated_topic() {
        let mut progress = sending(11..=13);
        assert_eq!(progress.record_acked(11, 50), Acked::Advanced);
        assert_eq!(progress.record_acked(12, -1), Acked::Advanced);
        assert_eq!(progress.record_acked(13, 0), Acked::Recreated);
        assert_eq!(progress.acked(), mark(12));
    }

    #[test]
    fn resuming_from_the_beginning_is_saved_too() {
        let mut progress = sending(11..=13);
        progress.resume(Mark::BEGINNING, -1);
        assert_eq!(
            (progress.unsaved(), progress.in_flight()),
            (Some(Mark::BEGINNING), 0)
        );
        progress.record_sent(mark(1));
        assert_eq!(progress.record_acked(1, 0), Acked::Advanced);
    }
}
