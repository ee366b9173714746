//! Tells the query role through Redis which wallets have just been written, so that live updates need not wait for
//! the next poll. Depends only on the platform's accelerator.
//!
//! The invariant: the projection never waits for an announcement and never fails because of one. An announcement may
//! be lost; listeners also poll now and then.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use uuid::Uuid;
use wallex_projections::live;
use wallex_runtime::redis::Accelerator;

/// Batches that may wait for a slow Redis; more are dropped.
const WAITING: usize = 64;

/// Clones share one task.
#[derive(Debug, Clone)]
pub(crate) struct Announcer(Option<mpsc::Sender<BTreeSet<Uuid>>>);

impl Announcer {
    /// Announces nothing.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Announces until dropped. `platform` is the full platform id, because several platforms may share one Redis.
    pub(crate) fn start(redis: Accelerator, platform: &str) -> Self {
        let (sender, batches) = mpsc::channel(WAITING);
        tokio::spawn(publish(redis, live::channel(platform), batches));
        Self(Some(sender))
    }

    /// To be called after the commit that wrote the wallets.
    pub(crate) fn wrote(&self, wallets: impl Iterator<Item = Uuid>) {
        if let Some(batches) = &self.0 {
            // Full: Redis is slower than the projection, and nothing can be done about it here.
            let _ = batches.try_send(wallets.collect());
        }
    }
}

/// Sends one message at a time; batches that arrive meanwhile go into the next one.
async fn publish(redis: Accelerator, channel: String, mut batches: mpsc::Receiver<BTreeSet<Uuid>>) {
    while let Some(mut wallets) = batches.recv().await {
        while let Ok(more) = batches.try_recv() {
            wallets.extend(more);
        }
        redis.publish(&channel, &live::message(&wallets)).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use wallex_runtime::redis::Heard;
    use wallex_runtime::{Flags, Settings};
    use wallex_testing::{eventually, unique_name};

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_heard_by_whoever_listens() {
        let flags = Flags {
            redis_url: Some(wallex_testing::redis()),
            ..Flags::default()
        };
        let redis = Accelerator::connect(&Settings::from_flags(&flags).unwrap());
        let platform = unique_name("platform");
        let mut subscription = redis.subscribe(&live::channel(&platform));
        assert_eq!(subscription.next().await, Heard::Connected);
        eventually(Duration::from_secs(10), "Redis", async || {
            redis.alive().then_some(())
        })
        .await;
        let announcer = Announcer::start(redis, &platform);
        let wallet = Uuid::now_v7();
        announcer.wrote([wallet, wallet].into_iter());
        assert_eq!(
            subscription.next().await,
            Heard::Message(wallet.as_bytes().to_vec())
        );
    }

    #[tokio::test]
    async fn without_redis_nothing_is_waited_for() {
        for announcer in [
            Announcer::none(),
            Announcer::start(Accelerator::none(), "platform"),
        ] {
            for _ in 0..10 * WAITING {
                announcer.wrote([Uuid::nil()].into_iter());
            }
        }
    }
}
