//! Waiting for a condition instead of sleeping for a time.

use std::time::{Duration, Instant};

/// How long to wait for something to happen. Reached only if it never does, so it is generous: a busy machine runs
/// everything at a fraction of its speed.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// Pause between two probes: short compared to the wait, long compared to the cost of a probe.
const PAUSE: Duration = Duration::from_millis(20);

/// Repeats `probe` until it returns something, and returns that.
///
/// # Panics
/// When `deadline` has passed, naming `what` was waited for. A hanging probe counts as no result.
pub async fn eventually<T>(deadline: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if let Ok(Some(value)) = tokio::time::timeout(left, probe()).await {
            return value;
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_what_the_probe_finds() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "the third look", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "a miracle: not within 50ms")]
    async fn names_what_did_not_happen() {
        eventually::<()>(Duration::from_millis(50), "a miracle", async || {
            std::future::pending().await
        })
        .await;
    }
}
