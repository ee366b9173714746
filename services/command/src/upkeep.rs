//! Work that nobody requests but that must happen: expiring holds, and completing erasures.
//!
//! The invariant: any number of replicas may do all of it at once, be interrupted anywhere and do it again. An
//! expiry goes through the queue like any command. Correctness never waits for it, because every command first
//! ends the due holds of its wallets.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use wallex_domain::{Command, Hash, WalletId};
use wallex_journal::append::{Item, Reply, Request, Work};
use wallex_journal::erasure;
use wallex_journal::hold::DueWallets;

use crate::queue::{Enqueue, QueueFull};

/// How often to check for due holds, and so how late an expiry's event may be.
const EVERY: Duration = Duration::from_millis(500);
/// Number of due holds whose wallets are handled first, in the order in which they were due.
const FIRST: i64 = 200;
/// How long the answer to an erasure waits for the data to be removed. The event is already committed.
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

    /// Removes the personal data of these wallets' pending erasures, as far as a moment allows.
    pub(crate) async fn erase_soon(&self, wallets: &[WalletId]) {
        let erasing = async {
            for wallet in wallets {
                erasure::finish(&self.journal, Some(*wallet)).await?;
            }
            Ok::<_, sqlx::Error>(())
        };
        match timeout(ERASING, erasing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "an erasure could not be finished at once and continues in the background");
            }
            Err(_) => tracing::info!("an erasure takes longer and continues in the background"),
        }
    }
}

/// Ends due holds and finishes erasures until `shutdown`.
pub async fn run(journal: PgPool, queue: Enqueue, shutdown: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = DueWallets::default();
    let mut more = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick(), if !more => {}
            // A batch ends only a limited number of a wallet's holds, and there are more.
            () = std::future::ready(()), if more => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            left = expire_due(&journal, &queue, &mut due) => more = left,
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            done = erasure::finish(&journal, None) => if let Err(error) = done {
                tracing::warn!(%error, "erasures could not be finished: trying again");
            },
        }
    }
}

/// Returns whether there were more due holds than were handled, and some of those were ended.
async fn expire_due(journal: &PgPool, queue: &Enqueue, due: &mut DueWallets) -> bool {
    let found = match due.find(journal, FIRST).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "could not look for due holds: trying again");
            return false;
        }
    };
    let expiries = found
        .wallets
        .into_iter()
        .map(|wallet| queue.submit(expiry(wallet)));
    // Whatever the outcome: a hold that is still due will be found again.
    let replies = futures::future::join_all(expiries).await;
    let ended = |reply: &Result<Reply, QueueFull>| matches!(reply, Ok(Reply::Answered { .. }));
    found.more && replies.iter().any(ended)
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
