//! Who follows which wallet in this process, and what wakes them: messages from the read-model projector through Redis,
//! and one shared poll of the read model, frequent without Redis and rare with it.
//!
//! The invariant: a wake-up may come too often, but is never missed. Messages are only a shortcut: whatever gets lost,
//! the next poll finds.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_projections::live;
use wallex_projections::read_model::read::wallets;
use wallex_runtime::CancellationToken;
use wallex_runtime::metrics::{self, IntGauge};
use wallex_runtime::redis::{Accelerator, Heard};

use crate::position::Snapshots;
use crate::problem::ReadError;

/// Maximum number of streams in this process. Each is an open connection and a few kilobytes.
const MAX_STREAMS: usize = 1_000;
/// Streams that may read at once: a wallet with a thousand followers must not take every connection.
const READERS: usize = 2;
/// Pause between two polls of the followed wallets while no messages arrive.
const POLL: Duration = Duration::from_millis(500);
/// The same while messages arrive: finds what the projector could not send.
const SAFETY_POLL: Duration = Duration::from_secs(5);

pub(crate) static OPEN: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        "wallex_query_streams",
        "Live streams that this process serves. At 1000, new ones get a 503: add query replicas.",
    )
});

/// The streams of this process. Clones share them.
#[derive(Clone)]
pub(crate) struct Live(Arc<Inner>);

struct Inner {
    read: Snapshots,
    redis: Accelerator,
    channel: String,
    shutdown: CancellationToken,
    free: Arc<Semaphore>,
    readers: Semaphore,
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    /// The version seen by the last poll; any change of the value is a wake-up.
    wallets: HashMap<Uuid, watch::Sender<i64>>,
    /// A task listens and polls; it ends when there are no followers left.
    listening: bool,
}

impl Live {
    pub(crate) fn new(read: Snapshots) -> Self {
        Self::with(read, Accelerator::none(), String::new(), CancellationToken::new())
    }

    fn with(read: Snapshots, redis: Accelerator, channel: String, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            read,
            redis,
            channel,
            shutdown,
            free: Arc::new(Semaphore::new(MAX_STREAMS)),
            readers: Semaphore::new(READERS),
            followed: Mutex::default(),
        }))
    }

    /// Call this before any stream starts: messages of this platform wake streams too.
    pub(crate) fn with_redis(&self, redis: Accelerator, platform: &str) -> Self {
        let (read, shutdown) = (self.0.read.clone(), self.0.shutdown.clone());
        Self::with(read, redis, live::channel(platform), shutdown)
    }

    /// Call this before any stream starts: streams end when `shutdown` is cancelled.
    pub(crate) fn with_shutdown(&self, shutdown: CancellationToken) -> Self {
        let (read, redis) = (self.0.read.clone(), self.0.redis.clone());
        Self::with(read, redis, self.0.channel.clone(), shutdown)
    }

    /// Takes a seat; `None` when all are taken.
    pub(crate) fn join(&self, id: Uuid) -> Option<Seat> {
        let permit = Arc::clone(&self.0.free).try_acquire_owned().ok()?;
        let mut followed = self.0.followed();
        let wallet = followed.wallets.entry(id);
        let news = wallet.or_insert_with(|| watch::channel(0).0).subscribe();
        if !followed.listening {
            followed.listening = true;
            tokio::spawn(listen(Arc::clone(&self.0)));
        }
        drop(followed);
        OPEN.inc();
        Some(Seat {
            live: self.clone(),
            id,
            news,
            _permit: permit,
        })
    }
}

impl Inner {
    fn followed(&self) -> MutexGuard<'_, Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, message: &[u8]) {
        let followed = self.followed();
        let Some(ids) = live::wallets(message) else {
            for wallet in followed.wallets.values() {
                wallet.send_modify(|_| {});
            }
            return;
        };
        for id in ids {
            if let Some(wallet) = followed.wallets.get(&id) {
                wallet.send_modify(|_| {});
            }
        }
    }

    /// Wakes the followers of wallets that have advanced since the last poll.
    async fn look(&self) -> Result<(), ReadError> {
        let ids: Vec<Uuid> = self.followed().wallets.keys().copied().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut snapshot = self.read.snapshot(&Positions::default()).await?;
        let versions = wallets::versions(&mut snapshot, &ids).await?;
        snapshot.commit().await?;
        let followed = self.followed();
        for (id, version) in versions {
            if let Some(wallet) = followed.wallets.get(&id) {
                wallet.send_if_modified(|seen| version > std::mem::replace(seen, version));
            }
        }
        Ok(())
    }
}

/// Wakes streams until there are none left.
async fn listen(live: Arc<Inner>) {
    let mut subscription = live.redis.subscribe(&live.channel);
    let mut pause = POLL;
    let mut next_look = Instant::now() + pause;
    loop {
        tokio::select! {
            () = live.shutdown.cancelled() => return,
            heard = subscription.next() => match heard {
                // The poll finds whatever was published earlier.
                Heard::Connected => (pause, next_look) = (SAFETY_POLL, Instant::now()),
                Heard::Lost => (pause, next_look) = (POLL, Instant::now()),
                Heard::Message(message) => live.wake(&message),
            },
            () = sleep_until(next_look) => {
                if let Err(error) = live.look().await {
                    tracing::debug!(%error, "the followed wallets could not be looked at");
                }
                next_look = Instant::now() + pause;
            }
        }
        let mut followed = live.followed();
        if followed.wallets.is_empty() {
            followed.listening = false;
            return;
        }
    }
}

/// A stream's seat: what wakes it, and its share of what the process can carry. Released when dropped.
pub(crate) struct Seat {
    live: Live,
    id: Uuid,
    news: watch::Receiver<i64>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.live.0.shutdown.clone()
    }

    /// Waits for a wake-up since the last call. Reading starts afterwards, so changes during a read wake it again.
    pub(crate) async fn news(&mut self) {
        // The sender lives as long as the seat.
        let _ = self.news.changed().await;
    }

    /// Waits for its turn to read.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.live.0.readers.acquire().await.ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        OPEN.dec();
        let mut followed = self.live.0.followed();
        let last = |wallet: &watch::Sender<i64>| wallet.receiver_count() <= 1;
        if followed.wallets.get(&self.id).is_some_and(last) {
            followed.wallets.remove(&self.id);
        }
    }
}
