//! How long a projection waits for the topic to deliver published events before it reads them from the journal.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wallex_domain::{Mark, Partition};

/// A cursor that stands still for so long behind what was published is not waiting for messages any more.
const OVERDUE: Duration = Duration::from_secs(5);
/// The same when the topic still has messages of the partition: with a backlog it may have to wait for the others'. After
/// this time the topic cannot be read there, whatever it says.
const OVERDUE_WITH_MORE: Duration = Duration::from_secs(60);

/// Partitions that are behind the topic, where their cursor stands, and since when.
#[derive(Default)]
pub(crate) struct Behind(BTreeMap<Partition, (i64, Instant)>);

/// A partition whose cursor has not moved for [`OVERDUE`].
pub(crate) struct Overdue {
    pub(crate) partition: Partition,
    pub(crate) cursor: i64,
    pub(crate) published: i64,
    stood: Duration,
}

impl Behind {
    /// Which of the partitions have stood too long, now that so much of each is published.
    pub(crate) fn overdue(
        &mut self,
        published: impl IntoIterator<Item = (Partition, i64)>,
        cursors: &BTreeMap<Partition, Mark>,
        now: Instant,
    ) -> Vec<Overdue> {
        let before = std::mem::take(&mut self.0);
        let mut overdue = Vec::new();
        for (partition, published) in published {
            let Some(cursor) = cursors.get(&partition).filter(|cursor| cursor.seq < published) else {
                continue;
            };
            let since = match before.get(&partition) {
                Some((seq, since)) if *seq == cursor.seq => *since,
                Some(_) | None => now,
            };
            self.0.insert(partition, (cursor.seq, since));
            overdue.push(Overdue {
                partition,
                cursor: cursor.seq,
                published,
                stood: now.duration_since(since),
            });
        }
        overdue.retain(|one| one.stood >= OVERDUE);
        overdue
    }

    pub(crate) fn forget(&mut self, partition: Partition) {
        self.0.remove(&partition);
    }
}

impl Overdue {
    /// Whether the partition has stood so long behind what was published that it is to be taken from the journal.
    pub(crate) fn is_missing(&self, topic_has_more: bool) -> bool {
        let patience = if topic_has_more {
            OVERDUE_WITH_MORE
        } else {
            OVERDUE
        };
        self.stood >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_waited_for_longer_when_it_has_more_but_not_for_ever() {
        let missing = |seconds, more| {
            let overdue = Overdue {
                partition: Partition(3),
                cursor: 7,
                published: 9,
                stood: Duration::from_secs(seconds),
            };
            overdue.is_missing(more)
        };
        assert_eq!([missing(4, false), missing(5, false)], [false, true]);
        assert_eq!([missing(59, true), missing(60, true)], [false, true]);
    }

    #[test]
    fn a_cursor_that_moves_is_waited_for_anew() {
        let (mut behind, start) = (Behind::default(), Instant::now());
        let mut overdue_at = |seconds, seq| {
            let hash = wallex_domain::Hash::GENESIS;
            let cursors = BTreeMap::from([(Partition(3), Mark { seq, hash })]);
            let now = start + Duration::from_secs(seconds);
            let overdue = behind.overdue([(Partition(3), 9), (Partition(4), 9)], &cursors, now);
            overdue
                .iter()
                .map(|one| (one.cursor, one.published))
                .collect::<Vec<_>>()
        };
        assert_eq!(overdue_at(0, 7), []);
        assert_eq!(overdue_at(4, 7), []);
        assert_eq!(overdue_at(5, 7), [(7, 9)]);
        assert_eq!(overdue_at(6, 8), []);
        assert_eq!(overdue_at(11, 8), [(8, 9)]);
        assert_eq!(overdue_at(99, 9), [], "it has all that was published");
        assert_eq!(overdue_at(100, 8), []);
    }
}
