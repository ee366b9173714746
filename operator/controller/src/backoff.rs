//! How long a platform waits after failures. Each platform has its own count, so a failing one never delays another.
//!
//! Invariant: waits grow from half a second to at most five minutes and are never the same for two platforms (jitter).

use std::{collections::HashMap, hash::Hash, sync::Mutex, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(300);

/// The wait after the `failures`-th failure in a row (1 is the first). `spread` in 0..1 picks from 75 % to 125 % of it.
pub fn delay(failures: u32, spread: f64) -> Duration {
    let mut waits = ExponentialBuilder::new()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .without_max_times()
        .build();
    // The longest wait is reached at the eleventh failure.
    let plain = waits.nth(failures.clamp(1, 11) as usize - 1).unwrap_or(LONGEST);
    // backon's own jitter only lengthens.
    plain.mul_f64(0.75 + spread.clamp(0.0, 1.0) / 2.0)
}

/// [`delay`] with a random spread.
pub fn jittered(failures: u32) -> Duration {
    delay(failures, rand::random_range(0.0..1.0))
}

/// A period with 10 % of jitter, for work that repeats while all is well.
pub fn period(plain: Duration) -> Duration {
    plain.mul_f64(rand::random_range(0.9..1.1))
}

/// Failures in a row, by key.
#[derive(Debug)]
pub struct Failures<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Failures<K> {
    /// Counts one more failure and returns the count.
    pub fn failed(&self, key: K) -> u32 {
        let mut counts = self.lock();
        let count = counts.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// Forgets the failures of a key: it succeeded, or it is gone.
    pub fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, u32>> {
        // A panic elsewhere cannot leave the counts in an inconsistent state.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        assert_eq!(delay(1, 0.5), Duration::from_millis(500));
        assert_eq!(delay(2, 0.5), Duration::from_secs(1));
        assert_eq!(delay(5, 0.5), Duration::from_secs(8));
        assert_eq!(delay(40, 0.5), Duration::from_secs(300));
        assert_eq!(delay(u32::MAX, 0.5), Duration::from_secs(300));
    }

    #[test]
    fn jitter_spreads_a_wait_by_a_quarter_either_way() {
        assert_eq!(delay(3, 0.0), Duration::from_millis(1500));
        assert_eq!(delay(3, 1.0), Duration::from_millis(2500));
    }

    #[test]
    fn failures_are_counted_per_platform_and_forgotten_on_success() {
        let failures = Failures::default();
        assert_eq!(
            (failures.failed("a"), failures.failed("a"), failures.failed("b")),
            (1, 2, 1)
        );
        failures.forget(&"a");
        assert_eq!((failures.failed("a"), failures.failed("b")), (1, 2));
    }
}
