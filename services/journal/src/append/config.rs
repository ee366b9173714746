//! What a writer can be told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Timeouts;
use crate::maintain::Retention;

/// After this, an attempt is abandoned as if the connection had broken: the server is not answering at all.
pub(super) const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

/// How far the database's clock may be ahead of this process's, in microseconds. Beyond this nothing is written: holds
/// would end too early, and recorded times would stay ahead until the clock catches up. Synchronised clocks differ by
/// much less.
pub(super) const MAX_LEAD: i64 = 5 * 60 * 1_000_000;

#[derive(Debug, Clone)]
pub struct Config {
    pub timeouts: Timeouts,
    /// For the answers to idempotent requests.
    pub retention: Retention,
    /// A wallet with this many open holds cannot place another. The same for all writers of a journal.
    pub max_open_holds: i64,
    /// This process's own clock, in microseconds since 1970: only used to judge whether the database's clock is
    /// credible.
    pub clock: fn() -> i64,
    /// Whether batches are written in one trip where that is possible. Otherwise all of them take the locks first,
    /// which is slower and means the same.
    pub one_trip: bool,
}

/// Microseconds since 1970.
fn own_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            retention: Retention::default(),
            // If all are due at once, ten batches end them.
            max_open_holds: 10_000,
            clock: own_clock,
            one_trip: true,
        }
    }
}
