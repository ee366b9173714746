//! The gate before every write: open until a point in monotonic time that only a confirmed renewal moves forward.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Shared by the election, which raises it, and all writers, which check it.
#[derive(Clone, Debug)]
pub struct Fence {
    origin: Instant,
    /// Milliseconds after `origin` until which writing is allowed; 0: not at all.
    until: Arc<AtomicU64>,
}

/// A write was refused because this process may no longer be the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process does not hold the lease; nothing was written")]
pub struct NotLeader;

impl Default for Fence {
    fn default() -> Self {
        // One minute back, so that `until` can't be 0 while the fence is open.
        let now = Instant::now();
        let origin = now.checked_sub(Duration::from_secs(60)).unwrap_or(now);
        Self {
            origin,
            until: Arc::default(),
        }
    }
}

impl Fence {
    /// Allows writes until `until`.
    pub fn raise(&self, until: Instant) {
        let millis = until.saturating_duration_since(self.origin).as_millis();
        self.until
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Stops allowing writes.
    pub fn lower(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Whether writing is allowed now.
    pub fn holds(&self) -> bool {
        let millis = Instant::now().saturating_duration_since(self.origin).as_millis();
        u64::try_from(millis).is_ok_and(|now| now < self.until.load(Ordering::SeqCst))
    }

    /// [`Fence::holds`] as a `Result`.
    ///
    /// # Errors
    /// When writing is not allowed.
    pub fn check(&self) -> Result<(), NotLeader> {
        if self.holds() { Ok(()) } else { Err(NotLeader) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_written_before_the_lease_was_ever_held() {
        assert_eq!(Fence::default().check(), Err(NotLeader));
    }

    #[test]
    fn writing_ends_by_itself_when_no_renewal_comes() {
        let fence = Fence::default();
        fence.raise(Instant::now() + Duration::from_secs(60));
        assert!(fence.holds());
        fence.raise(Instant::now());
        assert!(!fence.holds());
    }

    #[test]
    fn a_lowered_fence_is_lowered_for_every_holder_of_it() {
        let fence = Fence::default();
        fence.raise(Instant::now() + Duration::from_secs(60));
        fence.clone().lower();
        assert!(!fence.holds());
    }
}
