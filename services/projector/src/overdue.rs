//! How long a projection waits for the topic to deliver published events before it reads them from the journal.

use std::time::Duration;

/// A cursor that stays behind the published events for this long is no longer just waiting for messages.
pub(crate) const OVERDUE: Duration = Duration::from_secs(5);
/// The same when the topic still has messages for the partition: with a backlog, other partitions may come first.
/// After this time the topic cannot be read there, whatever it reports.
const OVERDUE_WITH_MORE: Duration = Duration::from_secs(60);

/// Whether a partition whose cursor `stood` behind the published events for this long must be read from the journal.
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
