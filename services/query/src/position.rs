//! Snapshots of the read model that contain what the caller asks for. A request that comes too early
//! waits, without a connection, for the projector to catch up. All waiters share one reader of the cursors,
//! which runs only while somebody waits.
//!
//! The invariant: what the shared reader saw is only a hint to look again; the snapshot that is answered
//! from has itself been checked (a rebuild of the projection moves its cursors back).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use wallex_domain::{Partition, Position, Positions};
use wallex_platform::metrics::{self, Histogram, IntCounter};

use crate::problem::ReadError;
use crate::statement;

/// How long a read waits for `Wallex-Min-Position`. Long enough for a projector that keeps up (tens of
/// milliseconds), short enough that a caller's own time-out does not come first.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// How often the cursors are looked at while somebody waits.
const POLL: Duration = Duration::from_millis(10);
/// How long a read waits for a free connection.
const ACQUIRE: Duration = Duration::from_secs(2);

static WAITED: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::histogram(
        "wallex_query_position_wait_seconds",
        "Time that reads with Wallex-Min-Position waited for the read model. Rising: its projector is behind.",
        metrics::SECONDS,
    )
});
static NOT_REACHED: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(
        "wallex_query_position_not_reached_total",
        "Reads answered 503 position_not_reached. Rising: look at the lag of the read-model projector.",
    )
});

type Cursors = Arc<HashMap<i32, i64>>;

/// A pool on the read model and the cursors seen last. Clones share both.
#[derive(Clone)]
pub(crate) struct ReadModel(Arc<Inner>);

struct Inner {
    pool: PgPool,
    seen: watch::Sender<Cursors>,
    polling: Mutex<bool>,
}

impl ReadModel {
    pub(crate) fn new(pool: PgPool) -> Self {
        let (seen, _) = watch::channel(Cursors::default());
        Self(Arc::new(Inner {
            pool,
            seen,
            polling: Mutex::new(false),
        }))
    }

    /// A snapshot that contains every position of `wanted`, or an error after [`MAX_WAIT`].
    pub(crate) async fn snapshot(
        &self,
        wanted: &Positions,
    ) -> Result<Transaction<'static, Postgres>, ReadError> {
        let begin = Instant::now();
        loop {
            let mut snapshot = self.open().await?;
            if wanted.0.is_empty() {
                return Ok(snapshot);
            }
            let cursors: HashMap<_, _> = statement::cursors(&mut *snapshot).await?.into_iter().collect();
            if contains(&cursors, wanted) {
                WAITED.observe(begin.elapsed().as_secs_f64());
                return Ok(snapshot);
            }
            snapshot.rollback().await?;
            if !self.wait(wanted, begin + MAX_WAIT).await {
                NOT_REACHED.inc();
                return Err(ReadError::PositionNotReached {
                    reached: reached(&cursors, wanted),
                    wanted: wanted.clone(),
                });
            }
        }
    }

    /// Opens a snapshot in a task of its own: a client that goes away drops its request's future, and a BEGIN
    /// that is cut off so would leave its connection in the pool inside a transaction, for the next reader
    /// to see an old snapshot through.
    async fn open(&self) -> Result<Transaction<'static, Postgres>, ReadError> {
        let pool = self.0.pool.clone();
        let opening = tokio::spawn(async move { pool.begin_with(statement::BEGIN).await });
        let opened = timeout(ACQUIRE, opening)
            .await
            .map_err(|_| ReadError::NoConnection)?;
        // Joining fails only when the task panicked.
        Ok(opened.map_err(|_| ReadError::NoConnection)??)
    }

    /// Waits until the shared reader has seen `wanted`; false at the deadline.
    async fn wait(&self, wanted: &Positions, deadline: Instant) -> bool {
        // Subscribed before the reader is looked at: a reader that is about to stop either sees this
        // subscriber or is replaced.
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

    fn poll_while_somebody_waits(&self) {
        let mut polling = self.0.polling.lock().unwrap_or_else(PoisonError::into_inner);
        if !*polling {
            *polling = true;
            tokio::spawn(poll(Arc::clone(&self.0)));
        }
    }
}

async fn poll(inner: Arc<Inner>) {
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
        match statement::cursors(&inner.pool).await {
            Ok(cursors) => {
                inner.seen.send_replace(Arc::new(cursors.into_iter().collect()));
            }
            // The waiters end at their deadlines, and their own reads report the trouble.
            Err(error) => tracing::debug!(error = %error, "the read model's cursors could not be read"),
        }
    }
}

fn contains(cursors: &HashMap<i32, i64>, wanted: &Positions) -> bool {
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

/// 0 for a partition that nothing has been projected of yet.
fn cursor(cursors: &HashMap<i32, i64>, partition: Partition) -> i64 {
    cursors.get(&partition.0).copied().unwrap_or(0)
}
