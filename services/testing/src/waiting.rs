//! Waiting for a condition instead of sleeping for a time.

use std::time::{Duration, Instant};

/// How long to wait for what is about to happen. Reached only when it never does, so it is generous: a busy machine runs
/// everything at a small part of its speed.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// Between two looks: short beside what is waited for, long beside what looking costs.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it gives something, and returns that.
///
/// # Panics
/// When `deadline` has passed, naming `what` was waited for. A probe that hangs counts as not there.
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
