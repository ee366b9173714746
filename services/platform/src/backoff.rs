//! Waiting between tries: exponential with jitter, cut short by shutdown; and the lines a long outage may log.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Delays that double from `min` to `max`, each shortened by up to half at random, so that replicas which lost the
/// same server don't come back in step.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// For a remote server at start or after an outage: 0.2 s up to 5 s.
    pub fn for_server() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(5))
    }

    /// How long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next.mul_f64(rand::random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.max);
        delay
    }

    /// After a success: the next delay is the shortest again.
    pub fn reset(&mut self) {
        self.next = self.min;
    }

    /// Waits for the next delay. `false`: `stop` was cancelled meanwhile, don't try again.
    #[must_use = "false means that the process is shutting down"]
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let delay = self.next_delay();
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}

/// Decides which failures of a lasting outage are worth a line at warn: the first, each new cause, and one reminder
/// per [`REMINDER`].
#[derive(Debug, Default)]
pub struct Outage {
    last: Option<(Instant, String)>,
}

/// Often enough to be seen by someone who starts reading, rare enough not to drown the rest.
const REMINDER: Duration = Duration::from_secs(10);

impl Outage {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether this failure should be logged at warn (otherwise at debug).
    pub fn worth_a_line(&mut self, cause: &str) -> bool {
        let known = self
            .last
            .as_ref()
            .is_some_and(|(at, said)| said == cause && at.elapsed() < REMINDER);
        if !known {
            self.last = Some((Instant::now(), cause.to_owned()));
        }
        !known
    }

    /// After a success. `true`: there was an outage, its end deserves a line.
    pub fn over(&mut self) -> bool {
        self.last.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_start_over_after_a_reset() {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(5));
        let mut backoff = Backoff::new(min, max);
        for step in 0..20 {
            let whole = (min * 2u32.pow(step.min(10))).min(max);
            let delay = backoff.next_delay();
            assert!(delay >= whole / 2 && delay <= whole, "step {step}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= min);
    }

    #[tokio::test]
    async fn waiting_ends_at_once_on_shutdown() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(
            !Backoff::new(Duration::from_secs(60), Duration::from_secs(60))
                .wait(&stop)
                .await
        );
    }

    #[test]
    fn an_outage_speaks_once_per_cause() {
        let mut outage = Outage::new();
        assert!(outage.worth_a_line("refused"));
        assert!(!outage.worth_a_line("refused"));
        assert!(outage.worth_a_line("wrong password"));
        assert!(outage.over());
        assert!(!outage.over());
    }
}
