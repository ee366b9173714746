//! Detects dead replicas quickly through Redis. Only an accelerator: without it the leases' timeouts decide.
//!
//! The invariant: a replica is declared dead only if its key was seen before and has then been gone for a while
//! in which Redis answered every time. A wrong verdict is harmless, only wasteful (see [`wallex_journal::publication`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};
use wallex_runtime::redis::Accelerator;

/// How often this replica renews its key, and how long the key lives without renewal.
const BEAT: Duration = Duration::from_millis(500);
const EXPIRY: Duration = Duration::from_millis(1_500);
/// How long a key must be gone. Longer than a beat, so that after a flush every live replica is back in time.
const SURE: Duration = Duration::from_secs(1);

pub(crate) struct Presence {
    redis: Accelerator,
    platform: String,
    instance: String,
    /// Replicas whose key has been seen, and since when it has been missing.
    seen: BTreeMap<String, Option<Instant>>,
    _beating: DropGuard,
}

impl Presence {
    /// Announces this instance until the result is dropped.
    pub(crate) fn announce(redis: Accelerator, platform: &str, instance: &str) -> Self {
        let stop = CancellationToken::new();
        tokio::spawn(beat(redis.clone(), key(platform, instance), stop.clone()));
        Self {
            redis,
            platform: platform.to_owned(),
            instance: instance.to_owned(),
            seen: BTreeMap::new(),
            _beating: stop.drop_guard(),
        }
    }

    /// The `replicas` that are dead although their leases are still valid.
    pub(crate) async fn dead(&mut self, replicas: &BTreeSet<String>) -> Vec<String> {
        self.seen.retain(|instance, _| replicas.contains(instance));
        let mut dead = Vec::new();
        for replica in replicas.iter().filter(|replica| **replica != self.instance) {
            let mut exists = redis::Cmd::new();
            exists.arg("EXISTS").arg(key(&self.platform, replica));
            match self.redis.query::<bool>(&exists).await {
                // Redis may have lost its keys meanwhile: every replica must be seen again first.
                None => {
                    self.seen.clear();
                    return Vec::new();
                }
                Some(true) => {
                    self.seen.insert(replica.clone(), None);
                }
                Some(false) => {
                    if let Some(gone) = self.seen.get_mut(replica)
                        && gone.get_or_insert_with(Instant::now).elapsed() >= SURE
                    {
                        dead.push(replica.clone());
                    }
                }
            }
        }
        dead
    }
}

fn key(platform: &str, instance: &str) -> String {
    format!("wallex:{platform}:publisher:{instance}")
}

async fn beat(redis: Accelerator, key: String, stop: CancellationToken) {
    loop {
        redis.set_px(&key, b"1", EXPIRY).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(BEAT) => {}
        }
    }
    // Say goodbye: the others need not wait for the key to expire.
    redis.delete(&key).await;
}
