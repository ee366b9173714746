//! How long a projection waits for the topic to bring what was published, before it takes that from the journal.

use std::time::Duration;

/// A cursor that stands still for so long behind what was published is not waiting for messages any more.
pub(crate) const OVERDUE: Duration = Duration::from_secs(5);
/// The same when the topic still has messages of the partition: with a backlog it may have to wait for the others'. After
/// this time the topic cannot be read there, whatever it says.
const OVERDUE_WITH_MORE: Duration = Duration::from_secs(60);

/// Whether a partition that has stood so long behind what was published is to be taken from the journal.
pub(crate) fn is_missing(stood: Duration, topic_has_more: bool) -> bool {
    stood
        >= if topic_has_more {
            OVERDUE_WITH_MORE
        } else {
            OVERDUE
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_waited_for_longer_when_it_has_more_but_not_for_ever() {
        let missing = |seconds, more| is_missing(Duration::from_secs(seconds), more);
        assert_eq!([missing(4, false), missing(5, false)], [false, true]);
        assert_eq!([missing(59, true), missing(60, true)], [false, true]);
    }
}
