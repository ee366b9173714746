//! How long a batch waits for more messages. Knows no Kafka.
//!
//! A transaction costs about as much for one event as for ten. So while messages keep coming, those of some milliseconds
//! make one batch. After a pause the first message is not kept waiting: what is there with it is the batch.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::source::IDLE;

/// In a hurry, the time to wait for a first message.
const HURRY: Duration = Duration::from_millis(5);

pub(super) struct Gathering {
    time: Duration,
    /// The last batch had messages.
    busy: bool,
}

/// When the batch ends that is to be received next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Without any message.
    empty: Instant,
    /// With messages: then only those are added that are there already.
    close: Instant,
}

impl Gathering {
    /// `time` is how long messages are gathered while they keep coming.
    pub(super) fn of(time: Duration) -> Self {
        Self { time, busy: false }
    }

    /// To be called when the batch before is done with. In a `hurry` somebody else waits.
    pub(super) fn begin(&self, hurry: bool) -> Window {
        let now = Instant::now();
        Window {
            empty: now + if hurry { HURRY } else { IDLE },
            close: if self.busy && !hurry { now + self.time } else { now },
        }
    }

    pub(super) fn ended(&mut self, with_messages: bool) {
        self.busy = with_messages;
    }
}

impl Window {
    /// Gives `take` what `receive` yields until the window closes or there are `limit` messages, and returns how many that
    /// are. `take` says whether it was a message; there are `count` before the first.
    ///
    /// `receive` is polled once even when the window is closed, so whatever is there already is taken without a wait.
    pub(super) async fn gather<T, F: Future<Output = T>>(
        self,
        mut count: usize,
        limit: usize,
        mut receive: impl FnMut() -> F,
        mut take: impl FnMut(T) -> bool,
    ) -> usize {
        while count < limit {
            let end = if count > 0 { self.close } else { self.empty };
            let Ok(received) = timeout_at(end, receive()).await else {
                break;
            };
            if take(received) {
                count += 1;
            } else if Instant::now() >= end {
                // Errors could come without end.
                break;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::pending;

    use tokio::sync::{Mutex, mpsc};
    use tokio::time::sleep_until;

    use super::*;

    const LIMIT: usize = 100;

    /// Messages arrive at `at`, in milliseconds of virtual time from now. Returns how many a batch has, and when it ends.
    async fn batch(gathering: &Gathering, hurry: bool, count: usize, at: &'static [u64]) -> (usize, u64) {
        let (send, messages) = mpsc::unbounded_channel();
        let messages = Mutex::new(messages);
        let began = Instant::now();
        let (there, later) = at.split_at(at.partition_point(|at| *at == 0));
        there.iter().for_each(|at| send.send(*at).unwrap());
        let arrivals = async {
            for at in later {
                sleep_until(began + Duration::from_millis(*at)).await;
                send.send(*at).unwrap();
            }
            pending::<()>().await;
        };
        let receive = || async { messages.lock().await.recv().await.unwrap() };
        let window = gathering.begin(hurry);
        let count = tokio::select! {
            count = window.gather(count, LIMIT, receive, |_| true) => count,
            () = arrivals => 0,
        };
        // The timer is exact to the millisecond, and never early.
        (count, u64::try_from(began.elapsed().as_millis()).unwrap())
    }

    fn idle() -> Gathering {
        Gathering::of(Duration::from_millis(15))
    }

    fn busy() -> Gathering {
        let mut gathering = idle();
        gathering.ended(true);
        gathering
    }

    #[track_caller]
    fn assert_batch((count, ended): (usize, u64), expected: usize, at: u64) {
        assert_eq!(count, expected);
        assert!((at..=at + 1).contains(&ended), "ended after {ended} ms, not {at}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_what_is_there_is_the_batch() {
        assert_batch(batch(&idle(), false, 0, &[0, 0, 0, 3]).await, 3, 0);
        assert_batch(batch(&idle(), false, 0, &[400, 403]).await, 1, 400);
        // A pause that began with a batch.
        assert_batch(batch(&busy(), false, 0, &[400, 403]).await, 1, 400);
        let mut gathering = busy();
        gathering.ended(false);
        assert_batch(batch(&gathering, false, 0, &[2, 5]).await, 1, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_messages_keep_coming_they_are_gathered() {
        assert_batch(batch(&busy(), false, 0, &[0, 4, 8, 12, 17, 20]).await, 4, 15);
        assert_batch(batch(&busy(), false, 0, &[8, 12, 17]).await, 2, 15);
        let mut never = Gathering::of(Duration::ZERO);
        never.ended(true);
        assert_batch(batch(&never, false, 0, &[0, 0, 2]).await, 2, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrived_during_the_batch_before_counts_as_first_message() {
        assert_batch(batch(&idle(), false, 2, &[0, 3]).await, 3, 0);
        assert_batch(batch(&busy(), false, 2, &[0, 3, 17]).await, 4, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_waits_for_nothing() {
        assert_batch(batch(&busy(), false, LIMIT - 1, &[0, 0]).await, LIMIT, 0);
        assert_batch(batch(&busy(), false, LIMIT + 1, &[0]).await, LIMIT + 1, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_messages_it_ends_all_the_same_and_in_a_hurry_soon() {
        assert_batch(batch(&busy(), false, 0, &[]).await, 0, 1_000);
        assert_batch(batch(&busy(), true, 0, &[]).await, 0, 5);
        assert_batch(batch(&busy(), true, 0, &[0, 0, 3]).await, 2, 0);
        assert_batch(batch(&busy(), true, 0, &[3, 4]).await, 1, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_no_messages_and_do_not_keep_a_batch_open() {
        let window = idle().begin(false);
        let mut errors = 0;
        let error = |()| {
            errors += 1;
            assert!(errors < 10, "still open");
            false
        };
        assert_eq!(window.gather(1, LIMIT, || async {}, error).await, 1);
        let mut received = 0;
        let third_is_a_message = |()| {
            received += 1;
            received > 2
        };
        assert_eq!(window.gather(0, 1, || async {}, third_is_a_message).await, 1);
    }
}
