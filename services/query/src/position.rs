//! Snapshots that contain the positions a caller asks for. A request that comes too early waits, without a
//! connection, for the projector to catch up. All waiters on one source share one reader of its cursors, which
//! runs only while somebody waits.
//!
//! The invariant: the shared reader's result is only a hint to look again; the snapshot that is answered from is itself
//! checked (a rebuild of the projection moves its cursors back).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgExecutor, PgPool, Postgres};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use wallex_domain::{Partition, Position, Positions};
use wallex_postgres::{SNAPSHOT, Transaction};
use wallex_runtime::metrics::{self, Histogram, IntCounter};

use crate::problem::ReadError;
use crate::source::Source;

/// How long a read waits for `Wallex-Min-Position`. Long enough for a projector that keeps up (tens of
/// milliseconds), short enough to come before the caller's own timeout.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How often the cursors are read while somebody waits.
const POLL: Duration = Duration::from_millis(10);
/// How long a read waits for a free connection.
const ACQUIRE: Duration = Duration::from_secs(2);

pub(crate) static WAITED: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::histogram(
        "wallex_query_position_wait_seconds",
        "Time that reads with Wallex-Min-Position waited for their projection. Rising: its projector is behind.",
        metrics::SECONDS,
    )
});
pub(crate) static NOT_REACHED: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(
        "wallex_query_position_not_reached_total",
        "Reads answered 503 position_not_reached. Rising: check the lag of the projectors.",
    )
});

type Cursors = Arc<HashMap<i32, i64>>;

/// A pool on a source, with its last known cursors. Clones share both.
#[derive(Clone)]
pub(crate) struct Snapshots(Arc<Inner>);

struct Inner {
    source: Source,
    pool: PgPool,
    /// Where the list of partitions is.
    journal: PgPool,
    seen: watch::Sender<Cursors>,
    polling: Mutex<bool>,
}

impl Snapshots {
    /// For a source in the database of `pool`; its journal is in the database of `journal`.
    pub(crate) fn of(source: Source, pool: PgPool, journal: PgPool) -> Self {
        let (seen, _) = watch::channel(Cursors::default());
        Self(Arc::new(Inner {
            source,
            pool,
            journal,
            seen,
            polling: Mutex::new(false),
        }))
    }

    /// A snapshot that contains every position of `wanted`, or an error after [`MAX_WAIT`].
    pub(crate) async fn snapshot(&self, wanted: &Positions) -> Result<Transaction, ReadError> {
        self.snapshot_by(SNAPSHOT, wanted).await
    }

    /// A connection on which each statement is a snapshot of its own, in one trip.
    pub(crate) async fn statement(&self) -> Result<PoolConnection<Postgres>, ReadError> {
        let pool = &self.0.pool;
        if pool.num_idle() > 0 || pool.size() >= pool.options().get_max_connections() {
            let free = timeout(ACQUIRE, pool.acquire()).await;
            return Ok(free.map_err(|_| ReadError::NoConnection)??);
        }
        let pool = pool.clone();
        Self::patiently(async move { pool.acquire().await }).await
    }

    /// [`Self::snapshot`], opened by `begin`, which must make a read-only snapshot.
    pub(crate) async fn snapshot_by(
        &self,
        begin: &'static str,
        wanted: &Positions,
    ) -> Result<Transaction, ReadError> {
        let snapshot = self.reach(begin, wanted).await;
        if matches!(snapshot, Err(ReadError::PositionNotReached { .. })) {
            NOT_REACHED.inc();
        }
        snapshot
    }

    /// The same for callers that can do without: it refuses nobody.
    pub(crate) async fn reach(
        &self,
        begin: &'static str,
        wanted: &Positions,
    ) -> Result<Transaction, ReadError> {
        let started = Instant::now();
        let mut exist = false;
        loop {
            let mut snapshot = Self::open(&self.0.pool, begin).await?;
            if wanted.0.is_empty() {
                return Ok(snapshot);
            }
            let cursors: HashMap<_, _> = self.cursors(&mut *snapshot).await?.into_iter().collect();
            if !exist && !are_known(&cursors, wanted) {
                // Hold one connection at a time: there may be as many such reads as connections.
                snapshot.rollback().await?;
                self.must_exist(wanted).await?;
                exist = true;
                continue;
            }
            if contains(&cursors, wanted) {
                WAITED.observe(started.elapsed().as_secs_f64());
                return Ok(snapshot);
            }
            snapshot.rollback().await?;
            if !self.wait(wanted, started + MAX_WAIT).await {
                return Err(ReadError::PositionNotReached {
                    from: self.0.source,
                    reached: reached(&cursors, wanted),
                    wanted: wanted.clone(),
                });
            }
        }
    }

    async fn open(pool: &PgPool, begin: &'static str) -> Result<Transaction, ReadError> {
        let pool = pool.clone();
        Self::patiently(async move { wallex_postgres::begin(&pool, begin).await }).await
    }

    /// Connects in a separate task: if the wait ends, or the client goes away, a new connection is still completed and
    /// goes into the pool. Otherwise no read would ever get a connection from a server that connects slowly.
    async fn patiently<T: Send + 'static>(
        connecting: impl Future<Output = sqlx::Result<T>> + Send + 'static,
    ) -> Result<T, ReadError> {
        let connected = timeout(ACQUIRE, tokio::spawn(connecting))
            .await
            .map_err(|_| ReadError::NoConnection)?;
        // Joining fails only when the task panicked.
        Ok(connected.map_err(|_| ReadError::NoConnection)??)
    }

    /// The seq (inclusive) up to which the source contains each partition.
    pub(crate) async fn cursors(&self, db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i32, i64)>> {
        self.0.source.levels(db).await
    }

    /// Waits until the shared reader has seen `wanted`; false at the deadline.
    async fn wait(&self, wanted: &Positions, deadline: Instant) -> bool {
        // Subscribe before checking the reader: a reader that is about to stop either sees this subscriber or is
        // replaced.
        let mut seen = self.0.seen.subscribe();
        self.poll_while_somebody_waits();
        loop {
            match timeout_at(deadline, seen.changed()).await {
                Err(_) | Ok(Err(_)) => return false,
                Ok(Ok(())) if contains(&seen.borrow_and_update(), wanted) => return true,
                Ok(Ok(())) => {}
            }
        }
    }

    /// Fails for positions that cannot exist. While the journal cannot be asked, any position might exist: the wait for it
    /// ends by itself.
    async fn must_exist(&self, wanted: &Positions) -> Result<(), ReadError> {
        let partitions = async {
            let mut journal = Self::open(&self.0.journal, SNAPSHOT).await?;
            let partitions = wallex_journal::read::partitions(&mut *journal).await?;
            journal.rollback().await?;
            Ok::<_, ReadError>(partitions.into_iter().map(|head| head.id.0).collect::<Vec<_>>())
        };
        match partitions.await {
            // A journal that is being set up.
            Ok(partitions) if partitions.is_empty() => Ok(()),
            Ok(partitions) => possible(&partitions, wanted),
            Err(error) => {
                tracing::debug!(%error, "the journal did not say which partitions there are");
                Ok(())
            }
        }
    }

    fn poll_while_somebody_waits(&self) {
        let mut polling = self.0.polling.lock().unwrap_or_else(PoisonError::into_inner);
        if !*polling {
            *polling = true;
            tokio::spawn(poll(self.clone()));
        }
    }
}

async fn poll(snapshots: Snapshots) {
    let inner = &snapshots.0;
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        {
            let mut polling = inner.polling.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.seen.receiver_count() == 0 {
                *polling = false;
                return;
            }
        }
        match snapshots.cursors(&inner.pool).await {
            Ok(cursors) => {
                inner.seen.send_replace(Arc::new(cursors.into_iter().collect()));
            }
            // The waiters end at their deadlines, and their own reads report the error.
            Err(error) => {
                tracing::debug!(%error, source = inner.source.name(), "the cursors could not be read");
            }
        }
    }
}

/// Whether each wanted partition has a cursor, so that it exists. If one has none, only the journal can tell: a projection
/// that is being refilled may lack cursors.
fn are_known(cursors: &HashMap<i32, i64>, wanted: &Positions) -> bool {
    let has_cursor = |position: &Position| cursors.contains_key(&position.partition.0);
    wanted.0.len() <= cursors.len() && wanted.0.iter().all(has_cursor)
}

/// Whether such positions can exist in these partitions.
fn possible(partitions: &[i32], wanted: &Positions) -> Result<(), ReadError> {
    if wanted.0.len() > partitions.len() {
        return Err(ReadError::TooManyPositions(partitions.len()));
    }
    let unknown = wanted
        .0
        .iter()
        .find(|position| !partitions.contains(&position.partition.0));
    unknown.map_or(Ok(()), |position| Err(ReadError::PartitionUnknown(*position)))
}

pub(crate) fn contains(cursors: &HashMap<i32, i64>, wanted: &Positions) -> bool {
    wanted
        .0
        .iter()
        .all(|position| cursor(cursors, position.partition) >= position.seq)
}

fn reached(cursors: &HashMap<i32, i64>, wanted: &Positions) -> Positions {
    let at = |position: &Position| Position {
        seq: cursor(cursors, position.partition),
        ..*position
    };
    Positions(wanted.0.iter().map(at).collect())
}

/// 0 for a partition of which nothing has been projected yet.
fn cursor(cursors: &HashMap<i32, i64>, partition: Partition) -> i64 {
    cursors.get(&partition.0).copied().unwrap_or(0)
}
