//! Quick detection of dead replicas through Redis. Only an accelerator: without it the leases' time-outs decide.
//!
//! The invariant: a replica is called dead only if its key was seen before and has been gone for a while
//! in which Redis answered every time. A wrong verdict is harmless (see [`wallex_journal::publication`]), only wasteful.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};
use wallex_runtime::redis::Accelerator;

/// How often the own key is renewed, and how long it lives without.
const BEAT: Duration = Duration::from_millis(500);
const EXPIRY: Duration = Duration::from_millis(1_500);
/// How long a key has to be gone. Longer than a beat: after a flush every living replica is back by then.
const SURE: Duration = Duration::from_secs(1);

pub(crate) struct Presence {
    redis: Accelerator,
    platform: String,
    instance: String,
    /// Replicas whose key has been seen, and since when it has been gone.
    seen: BTreeMap<String, Option<Instant>>,
    _beating: DropGuard,
}

impl Presence {
    /// Announces this instance until dropped.
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

    /// Those of `replicas` that are dead though their lease says otherwise.
    pub(crate) async fn dead(&mut self, replicas: &BTreeSet<String>) -> Vec<String> {
        self.seen.retain(|instance, _| replicas.contains(instance));
        let mut dead = Vec::new();
        for replica in replicas.iter().filter(|replica| **replica != self.instance) {
            let mut exists = redis::Cmd::new();
            exists.arg("EXISTS").arg(key(&self.platform, replica));
            match self.redis.query::<bool>(&exists).await {
                // Redis may have lost its keys meanwhile: everyone has to be seen again first.
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
    // A farewell: others need not wait for the expiry.
    redis.delete(&key).await;
}
