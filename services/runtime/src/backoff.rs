//! Waiting between attempts: exponential with jitter, cut short by shutdown; and the log lines of a long outage.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;
use wallex_domain::Ailment;

use crate::health::Check;

/// Delays that double from `min` to `max`, each shortened by up to half at random, so that replicas that lost the
/// same server don't come back in step.
#[derive(Debug)]
pub struct Backoff {
    series: ExponentialBuilder,
    delays: ExponentialBackoff,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Self {
        let series = ExponentialBuilder::new()
            .with_min_delay(min)
            .with_max_delay(max)
            .without_max_times();
        Self {
            series,
            delays: series.build(),
        }
    }

    /// For a remote server at start or after an outage: 0.2 s up to 5 s.
    pub fn for_server() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(5))
    }

    /// How long to wait before the next try.
    pub fn next_delay(&mut self) -> Duration {
        // There is always a next delay, because the number of attempts is unlimited.
        let delay = self.delays.next().unwrap_or_default();
        // backon's own jitter only lengthens.
        delay.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// After a success: the next delay is the shortest again.
    pub fn reset(&mut self) {
        self.delays = self.series.build();
    }

    /// Waits for the next delay. `false`: `stop` was cancelled meanwhile, don't retry.
    #[must_use = "false means that the process is shutting down"]
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        let delay = self.next_delay();
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}

/// Logs while a server can't be used: a line at warn for the first failure, for each new cause, and as a
/// reminder every [`REMINDER`]; the attempts in between at debug; one line at info when it is over.
#[derive(Debug)]
pub struct Outage {
    what: &'static str,
    server: String,
    setting: &'static str,
    last: Option<(Instant, String)>,
    check: Option<(Check, Ailment)>,
}

/// Often enough to be noticed by someone who starts reading, rare enough not to drown the rest.
const REMINDER: Duration = Duration::from_secs(10);

impl Outage {
    /// `what` is the server's product, `server` its address without credentials, `setting` where the address comes from.
    pub fn of(what: &'static str, server: impl Into<String>, setting: &'static str) -> Self {
        Self {
            what,
            server: server.into(),
            setting,
            last: None,
            check: None,
        }
    }

    /// During the outage the check is unready. It is left that way: only its owner knows when it is ready again.
    #[must_use]
    pub fn shown_by(self, check: &Check, ailment: Ailment) -> Self {
        Self {
            check: Some((check.clone(), ailment)),
            ..self
        }
    }

    /// An attempt has failed; another will follow.
    pub fn failed(&mut self, cause: &str) {
        let (what, server, setting) = (self.what, &self.server, self.setting);
        if let Some((check, ailment)) = &self.check {
            check.set_ailing(*ailment, format!("{what} ({server}) can't be used: {cause}"));
        }
        if self
            .last
            .as_ref()
            .is_some_and(|(at, said)| said == cause && at.elapsed() < REMINDER)
        {
            tracing::debug!(server, setting, cause, "{what} cannot be used yet, trying again");
        } else {
            tracing::warn!(server, setting, cause, "{what} cannot be used yet, trying again");
            self.last = Some((Instant::now(), cause.to_owned()));
        }
    }

    /// An attempt has succeeded.
    pub fn over(&mut self) {
        if self.last.take().is_some() {
            tracing::info!(
                server = self.server,
                setting = self.setting,
                "{} answers",
                self.what
            );
        }
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
}
