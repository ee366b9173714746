//! What nobody asks for but has to happen: holds that expire, and the rest of erasures.
//!
//! The invariant: all of it may be done by any number of replicas at once, be cut off anywhere and be done again. An
//! expiry goes through the queue as any command does; correctness never waits for it, because every command first ends
//! what is due of its wallets.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use wallex_domain::{Command, Hash, WalletId};
use wallex_journal::append::{Item, Request, Work};
use wallex_journal::{erasure, hold};

use crate::batcher::Enqueue;

/// How often it is looked for holds that are due: how long an expiry's event may come after its time.
const EVERY: Duration = Duration::from_millis(500);
/// Wallets whose holds are ended in one go; those due first come first.
const WALLETS: i64 = 200;
/// How long the answer to an erasure waits for the data to be gone. The event is committed by then.
const ERASING: Duration = Duration::from_secs(2);

/// Erasures, as the route sees them. Clones share the pool.
#[derive(Clone)]
pub(crate) struct Upkeep {
    journal: PgPool,
}

impl Upkeep {
    pub(crate) fn new(journal: PgPool) -> Self {
        Self { journal }
    }

    /// Removes the personal data of these wallets' pending erasures, as far as a moment takes.
    pub(crate) async fn erase_soon(&self, wallets: &[WalletId]) {
        let erasing = async {
            for wallet in wallets {
                erasure::finish(&self.journal, Some(*wallet)).await?;
            }
            Ok::<_, sqlx::Error>(())
        };
        match timeout(ERASING, erasing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "an erasure is left to the background"),
            Err(_) => tracing::info!("an erasure takes longer and goes on in the background"),
        }
    }
}

/// Ends due holds and finishes erasures until `shutdown`.
pub async fn run(journal: PgPool, queue: Enqueue, shutdown: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = expire_due(&journal, &queue) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = erasure::finish(&journal, None) => if let Err(error) = done {
                tracing::warn!(%error, "erasures could not be finished: trying again");
            },
        }
    }
}

async fn expire_due(journal: &PgPool, queue: &Enqueue) {
    let due = match hold::due_wallets(journal, WALLETS).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "due holds could not be looked for: trying again");
            return;
        }
    };
    let wallets: HashSet<WalletId> = due.into_iter().collect();
    let expiries = wallets.into_iter().map(|wallet| queue.submit(expiry(wallet)));
    // Whatever comes of it: what is still due is found again.
    futures::future::join_all(expiries).await;
}

fn expiry(wallet: WalletId) -> Request {
    Request {
        caller: "wallex".into(),
        key: None,
        fingerprint: Hash::GENESIS,
        work: Work::One(Item {
            command: Command::ExpireHolds(wallet),
            personal: None,
        }),
        traceparent: None,
    }
}
