//! The append protocol: one batch of requests, one transaction, one fsync.
//!
//! ```text
//! 0 route   wallet -> partition, from memory; misses, and the wallets behind holds and transactions, are looked up
//! 1 lock    BEGIN; partition rows FOR UPDATE in ascending order; the database's clock, which is the batch's time
//! 2 load    heads of the touched wallets, their due holds and how many are open, the holds named, stored answers, external
//!           ids of wallets and of movements, what has been taken back of transactions
//! 3 decide  in arrival order, on what was loaded; due holds end first, as many as one batch may end, and requests on a
//!           wallet with more of them wait for a later batch; rejections are answers too
//! 4 write   answers, heads, personal data, events and partition rows in one statement; then, where there are any, holds,
//!           reversals, erasures and the names of movements
//! 5 commit  and only then reply
//! ```
//!
//! Why it is correct:
//! - Lock and load are separate statements of a READ COMMITTED transaction, so what is loaded was committed by the
//!   previous lock holder, and cannot change until this transaction ends.
//! - No partition is locked after step 1, and step 1 locks in ascending order: writers cannot deadlock on partitions.
//!   Whatever else may collide (wallet ids, external ids, keys used for two wallets) is unique in the schema; the
//!   loser's batch rolls back and runs again on what the winner committed.
//! - A stored answer that is repeated is as durable as a new one: both wait for a COMMIT.
//! - A lost reply is found again by its key, under the same locks. So is the outcome of a COMMIT whose answer never
//!   came: taking the locks waits for the old transaction to end, one way or the other.
//! - A writer that freezes between two statements loses its transaction to the server's timeout, and with it the locks;
//!   what it sends when it wakes is refused. It had not reported success to anyone.
//!
//! `route`, `statements`, `load`, `decide` and `write` are the steps; `state` is what a batch knows and `staging` what
//! it has decided; `groups` runs the steps until every request has its reply; `divide` and `aside` handle failing
//! requests.

mod aside;
mod call;
mod conflict;
mod decide;
mod divide;
mod groups;
mod load;
mod look_up;
mod movement;
mod outcome;
mod record;
mod request;
mod route;
mod setback;
mod staging;
mod state;
mod statements;
mod write;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use wallex_domain::{Partition, WalletId};

use aside::{Aside, Verdict};
use call::Group;
pub use call::Take;
pub use conflict::Conflict;
use load::OpenHolds;
use outcome::Staged;
pub use request::{Answer, BatchOutcome, Committed, Item, Render, Reply, Request, Work};
use route::{Routed, Routing};
use setback::Setback;
use staging::Staging;
pub use statements::Timeouts;

use crate::maintain::Retention;
use crate::route::Routes;

/// After this, an attempt is abandoned as if the connection had broken: the server is not answering at all.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

/// How far the database's clock may be ahead of this process's, in microseconds. Beyond this nothing is written: holds
/// would end too early, and recorded times would stay ahead until the clock catches up. Synchronised clocks differ by
/// much less.
const MAX_LEAD: i64 = 5 * 60 * 1_000_000;

#[derive(Debug, Clone)]
pub struct Config {
    pub timeouts: Timeouts,
    /// For the answers to idempotent requests.
    pub retention: Retention,
    /// A wallet with this many open holds cannot place another. The same for all writers of a journal.
    pub max_open_holds: i64,
    /// This process's own clock, in microseconds since 1970: only used to judge whether the database's clock is
    /// credible.
    pub clock: fn() -> i64,
}

/// Microseconds since 1970.
fn own_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            retention: Retention::default(),
            // If all are due at once, ten batches end them.
            max_open_holds: 10_000,
            clock: own_clock,
        }
    }
}

/// How long each stage of a committed transaction took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages {
    pub route: Duration,
    pub lock: Duration,
    pub load: Duration,
    pub decide: Duration,
    pub write: Duration,
    pub commit: Duration,
}

/// Writes batches on a connection of its own. Any number of writers may work on one journal.
pub struct Writer {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    routes: Arc<Routes>,
    open_since: Option<Instant>,
    render: Render,
    config: Config,
    aside: Aside,
    open_holds: OpenHolds,
    /// Of the last attempt.
    trace: Trace,
    /// Of committed transactions, since the caller last took them out.
    pub stages: Vec<Stages>,
    /// Why batches ran again; likewise.
    pub conflicts: Vec<Conflict>,
}

/// How far an attempt got.
#[derive(Debug, Default)]
struct Trace {
    /// The requests to decide, with their routes.
    routed: Vec<(usize, Routed)>,
    /// To be locked, or already locked.
    locked: BTreeSet<Partition>,
    /// Requests whose keys have been looked up under the locks.
    looked: Vec<usize>,
    /// COMMIT is about to be sent.
    committing: bool,
}

impl Trace {
    fn route_of(&self, index: usize) -> Option<&Routed> {
        let mut routed = self.routed.iter();
        routed.find(|(of, _)| *of == index).map(|(_, routed)| routed)
    }
}

/// The result of an attempt.
struct Outcome {
    staged: Vec<(usize, Staged)>,
    /// Set if something was written.
    stages: Option<Stages>,
}

impl Writer {
    pub fn new(options: PgConnectOptions, routes: Arc<Routes>, render: Render, config: Config) -> Self {
        // A batch's statements are few and all stay prepared; they are not logged.
        let options = options.disable_statement_logging();
        Self {
            options,
            connection: None,
            routes,
            open_since: None,
            render,
            aside: Aside::default(),
            open_holds: OpenHolds::new(config.max_open_holds),
            config,
            trace: Trace::default(),
            stages: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// Steps 0 to 5, once.
    async fn attempt(
        &mut self,
        requests: &[Request],
        group: &Group,
        look_up: &HashSet<WalletId>,
    ) -> Result<Outcome, Setback> {
        self.trace = Trace::default();
        let mut connection = self.connect().await?;
        let limit = tokio::time::sleep(ATTEMPT_LIMIT);
        let outcome = tokio::select! {
            outcome = self.transact(&mut connection, requests, group, look_up) => outcome,
            // Dropping the connection ends what it began, unless it was in its commit.
            () = limit => return Err(if self.trace.committing {
                Setback::Unknown(sqlx::Error::PoolTimedOut)
            } else {
                Setback::Trouble(sqlx::Error::PoolTimedOut)
            }),
        };
        match &outcome {
            Ok(_) => self.connection = Some(connection),
            Err(Setback::Refused(_)) => self.roll_back(connection).await,
            // Whatever is wrong with this session, the next one is fresh.
            Err(Setback::Trouble(_) | Setback::Clock { .. } | Setback::Unknown(_)) => drop(connection),
        }
        outcome
    }

    async fn connect(&mut self) -> Result<PgConnection, Setback> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.open_since = None;
        let connecting = tokio::time::timeout(ATTEMPT_LIMIT, self.options.connect()).await;
        connecting
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(Setback::Trouble)
    }

    async fn roll_back(&mut self, mut connection: PgConnection) {
        let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut connection);
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(1), rollback).await {
            self.connection = Some(connection);
        }
    }

    /// Those of the last attempt's partitions that are locked at this moment.
    async fn locked_partitions(&mut self) -> Vec<Partition> {
        let wanted = self.trace.locked.clone();
        let Ok(mut connection) = self.connect().await else {
            return Vec::new();
        };
        let free = statements::free_partitions(&mut connection, &wanted);
        let free = tokio::time::timeout(Duration::from_secs(1), free).await;
        if let Ok(Ok(free)) = free {
            self.roll_back(connection).await;
            return wanted.difference(&free).copied().collect();
        }
        Vec::new()
    }

    async fn transact(
        &mut self,
        db: &mut PgConnection,
        requests: &[Request],
        group: &Group,
        look_up: &HashSet<WalletId>,
    ) -> Result<Outcome, Setback> {
        let mut watch = Stopwatch::start();
        let timeouts = match group.indices[..] {
            // A request of many commands may take long without being to blame.
            [only] if group.suspect && requests[only].work.items().len() > 1 => Timeouts {
                statement: self.config.timeouts.statement,
                ..self.config.timeouts.short()
            },
            _ if group.suspect => self.config.timeouts.short(),
            _ => self.config.timeouts,
        };
        let routing = self.route(db, requests, &group.indices, look_up);
        let Routing {
            requests: routed,
            transactions,
            unreadable,
        } = routing.await.map_err(Setback::of)?;
        let mut outcome = Vec::with_capacity(routed.len());
        for (index, route) in routed {
            match route.and_then(|routed| self.admit(routed, group.alone)) {
                Ok(routed) => self.trace.routed.push((index, routed)),
                Err(staged) => outcome.push((index, staged)),
            }
        }
        let routed = self.trace.routed.iter();
        self.trace.locked = routed.flat_map(|(_, route)| &route.partitions).copied().collect();
        let route = watch.lap();
        if self.trace.locked.is_empty() {
            return Ok(Outcome {
                staged: outcome,
                stages: None,
            });
        }

        let locking = statements::begin_and_lock(db, self.trace.locked.iter().copied(), timeouts);
        let mut loaded = locking.await.map_err(Setback::of_locking)?;
        let lock = watch.lap();
        let now = (self.config.clock)();
        if loaded.clock > now.saturating_add(MAX_LEAD) {
            return Err(Setback::Clock {
                lead: Duration::from_micros((loaded.clock - now).unsigned_abs()),
            });
        }
        let going = self.trace.routed.iter();
        let going: Vec<(&Request, &Routed)> =
            going.map(|(index, route)| (&requests[*index], route)).collect();
        loaded.transactions = transactions;
        loaded.unreadable_transactions = unreadable;
        load::load(db, &going, group.skip_locked, &self.open_holds, &mut loaded)
            .await
            .map_err(Setback::of)?;
        self.trace.looked = self.trace.routed.iter().map(|(index, _)| *index).collect();
        let load = watch.lap();

        let mut staging = Staging::new(loaded);
        for (index, route) in &self.trace.routed {
            outcome.push((*index, staging.stage(&requests[*index], route, self.render)));
        }
        let decide = watch.lap();
        if staging.is_empty() {
            let told = outcome.iter().any(|(_, staged)| staged.is_from_the_store());
            self.end_without_writing(db, told).await?;
            return Ok(Outcome {
                staged: outcome,
                stages: None,
            });
        }

        write::write(db, &staging, self.config.retention).await?;
        let write = watch.lap();
        self.trace.committing = true;
        let committed = sqlx::raw_sql("COMMIT").execute(db).await;
        committed.map_err(Setback::of_commit)?;
        let stages = Stages {
            route,
            lock,
            load,
            decide,
            write,
            commit: watch.lap(),
        };
        self.stages.push(stages);
        self.aside.committed();
        self.open_holds.remember(&staging.loaded);
        let created = staging.written_heads();
        let created = created.iter().filter(|(_, head)| head.loaded_version == 0);
        self.routes
            .remember(created.map(|(id, head)| (*id, head.partition)));
        Ok(Outcome {
            staged: outcome,
            stages: Some(stages),
        })
    }

    /// A stored answer may belong to a commit that a synchronous standby has not confirmed: after a crash of the
    /// primary it is visible all the same, and a failover loses it. This transaction's locks have left a record in the
    /// write-ahead log, so its COMMIT waits for the standby, and with it for everything before. ROLLBACK does not.
    async fn end_without_writing(&mut self, db: &mut PgConnection, told: bool) -> Result<(), Setback> {
        if told {
            self.trace.committing = true;
            let committed = sqlx::raw_sql("COMMIT").execute(db).await;
            committed.map_err(Setback::of_commit)?;
            self.aside.committed();
        } else {
            sqlx::raw_sql("ROLLBACK").execute(db).await.map_err(Setback::of)?;
        }
        Ok(())
    }

    /// Admits a request unless it is about something that is set aside.
    fn admit(&mut self, routed: Routed, alone: bool) -> Result<Routed, Staged> {
        match self.aside.judge(&routed) {
            Verdict::Go => Ok(routed),
            Verdict::Alone | Verdict::Wait if alone => Ok(routed),
            Verdict::Alone => Err(Staged::Alone),
            Verdict::Wait => Err(Staged::Later),
            Verdict::Refuse(reply) => Err(Staged::Reply(reply)),
        }
    }

    /// Closes the connection properly.
    pub async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }
}

struct Stopwatch(Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}
