//! Whether to take, renew or leave a Lease. Pure: the caller passes the record and the monotonic time.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;

/// What to do about the lease now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody holds it, or its holder has not renewed for its duration: write our name.
    Take,
    /// It is ours: renew.
    Renew,
    /// Another process holds it, and is alive as far as we know.
    StandBy { holder: String },
}

/// Remembers which record was seen, and since when.
#[derive(Debug)]
pub struct Observer {
    identity: String,
    duration: Duration,
    /// The resourceVersion last seen, and when it was first seen, by our clock.
    seen: Option<(String, Instant)>,
}

impl Observer {
    /// `duration` is the minimum wait; a record that states a longer one gets it.
    pub fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            seen: None,
        }
    }

    /// What to do about `lease` (none: it does not exist yet) at `now`.
    pub fn decide(&mut self, lease: Option<&Lease>, now: Instant) -> Decision {
        let Some(lease) = lease else { return Decision::Take };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                self.seen = Some((version, now));
                now
            }
        };
        let spec = lease.spec.as_ref();
        let holder = spec
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default();
        if holder == self.identity {
            return Decision::Renew;
        }
        if holder.is_empty() {
            return Decision::Take;
        }
        let stated = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(self.duration, Duration::from_secs);
        if now.duration_since(since) >= stated.max(self.duration) {
            Decision::Take
        } else {
            Decision::StandBy { holder }
        }
    }

    /// Notes a record that we wrote ourselves.
    pub fn wrote(&mut self, lease: &Lease, now: Instant) {
        self.seen = Some((lease.metadata.resource_version.clone().unwrap_or_default(), now));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const DURATION: Duration = Duration::from_secs(12);

    fn lease(holder: &str, version: &str) -> Lease {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "l", "resourceVersion": version},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 12, "renewTime": "2001-01-01T00:00:00.000000Z"},
        }))
        .unwrap()
    }

    fn stand_by(holder: &str) -> Decision {
        Decision::StandBy {
            holder: holder.to_owned(),
        }
    }

    #[test]
    fn a_lease_that_does_not_exist_or_was_released_is_taken_at_once() {
        let mut me = Observer::new("me".into(), DURATION);
        assert_eq!(me.decide(None, Instant::now()), Decision::Take);
        assert_eq!(me.decide(Some(&lease("", "1")), Instant::now()), Decision::Take);
    }

    #[test]
    fn a_lease_just_seen_is_left_alone_however_old_its_times_say_it_is() {
        let mut me = Observer::new("me".into(), DURATION);
        assert_eq!(
            me.decide(Some(&lease("other", "1")), Instant::now()),
            stand_by("other")
        );
    }

    #[test]
    fn a_lease_unchanged_for_its_duration_is_taken() {
        let mut me = Observer::new("me".into(), DURATION);
        let start = Instant::now();
        assert_eq!(me.decide(Some(&lease("other", "1")), start), stand_by("other"));
        let almost = start + DURATION - Duration::from_millis(1);
        assert_eq!(me.decide(Some(&lease("other", "1")), almost), stand_by("other"));
        assert_eq!(
            me.decide(Some(&lease("other", "1")), start + DURATION),
            Decision::Take
        );
    }

    #[test]
    fn every_renewal_of_another_starts_the_wait_again() {
        let mut me = Observer::new("me".into(), DURATION);
        let start = Instant::now();
        me.decide(Some(&lease("other", "1")), start);
        assert_eq!(
            me.decide(Some(&lease("other", "2")), start + DURATION),
            stand_by("other")
        );
        assert_eq!(
            me.decide(Some(&lease("other", "2")), start + 2 * DURATION),
            Decision::Take
        );
    }

    #[test]
    fn our_own_lease_is_renewed_even_by_a_process_that_never_saw_it() {
        let mut me = Observer::new("me".into(), DURATION);
        assert_eq!(
            me.decide(Some(&lease("me", "9")), Instant::now()),
            Decision::Renew
        );
    }

    #[test]
    fn a_record_that_states_a_longer_duration_gets_it() {
        let mut me = Observer::new("me".into(), DURATION);
        let start = Instant::now();
        let mut other = lease("other", "1");
        other.spec.as_mut().unwrap().lease_duration_seconds = Some(60);
        me.decide(Some(&other), start);
        assert_eq!(me.decide(Some(&other), start + DURATION), stand_by("other"));
        assert_eq!(
            me.decide(Some(&other), start + Duration::from_secs(60)),
            Decision::Take
        );
    }
}
