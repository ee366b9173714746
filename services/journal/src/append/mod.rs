//! The append protocol: one batch of requests, one transaction, one fsync. A batch is written in one trip to PostgreSQL
//! where that is possible, otherwise under locks that are taken first. Both mean the same.
//!
//! ```text
//!   in one trip                                        under locks
//! 0 read    heads that are not remembered              0 route   wallet -> partition; misses, and the wallets behind
//!                                                                holds and transactions, are looked up
//!                                                      1 lock    BEGIN; partition rows FOR UPDATE in ascending order;
//!                                                                the database's clock, which is the batch's time
//!                                                      2 load    heads, due and open holds, the holds named, stored
//!                                                                answers, names, what has been taken back
//! 1 decide  in arrival order, on what is remembered    3 decide  in arrival order, on what was loaded
//! 2 append  the procedure locks, compares the          4 write   the procedure writes
//!           partitions with what was remembered,       5 commit
//!           looks for answers and names, writes,
//!           commits
//! 3 reply                                              6 reply
//! ```
//!
//! To decide: due holds end first, as many as one batch may end, and requests on a wallet with more of them wait for a
//! later batch; rejections are answers too.
//!
//! Why it is correct:
//! - Under locks: lock and load are separate statements of a READ COMMITTED transaction, so what is loaded was committed
//!   by the previous lock holder, and cannot change until this transaction ends.
//! - In one trip: whatever changes a wallet also moves its partition. A partition's row that is, under the lock, what it
//!   was when the batch was decided therefore says that the wallets are. Anything else writes nothing, and the batch goes
//!   under locks. What is remembered is never relied on, it only saves time; so is what is expected of a batch that is
//!   still on its way, on which the next one may be decided.
//! - Partitions are locked in ascending order and none later: writers cannot deadlock on partitions. Whatever else may
//!   collide (wallet ids, external ids, keys used for two wallets) is unique in the schema; the loser's batch rolls back
//!   and runs again on what the winner committed.
//! - A stored answer that is repeated is as durable as a new one: both wait for a COMMIT.
//! - A lost reply is found again by its key, under the same locks. So is the outcome of a COMMIT whose answer never
//!   came: taking the locks waits for the old transaction to end, one way or the other.
//! - A writer that freezes in one trip holds nobody up: the server locks only when it has the whole message, and the
//!   procedure commits without waiting for more. One that freezes under locks loses its transaction to the server's
//!   timeout, and with it the locks; what it sends when it wakes is refused. It had not reported success to anyone.
//!
//! `memory` is what is remembered; `one_trip` decides and sends on it, and `landing` hears what became of that; `locked`
//! runs the steps under locks, which are `route`, `statements`, `load`, `decide` and `write`; `state` is what a batch
//! knows and `staging` what it has decided; `groups` goes on until every request has its reply; `divide` and `aside`
//! handle failing requests.

mod aside;
mod call;
mod config;
mod conflict;
mod decide;
mod divide;
mod groups;
mod landing;
mod load;
mod locked;
mod look_up;
mod memory;
mod movement;
mod one_trip;
mod outcome;
mod path;
mod record;
mod request;
mod route;
mod setback;
mod stages;
mod staging;
mod state;
mod statements;
mod write;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use wallex_domain::{Partition, WalletId};

use aside::{Aside, Verdict};
use call::Group;
pub use call::Take;
use config::ATTEMPT_LIMIT;
pub use config::Config;
pub use conflict::Conflict;
use load::OpenHolds;
use memory::Memory;
pub use one_trip::Sent;
use outcome::Staged;
pub use path::{Path, Why as WhyLocked};
pub use request::{Answer, BatchOutcome, Committed, Item, Render, Reply, Request, Work};
use route::Routed;
use setback::Setback;
pub use stages::{Stages, Wrote};
use staging::Staging;
pub use statements::Timeouts;

use crate::route::Routes;

/// Writes batches on connections of its own. Any number of writers may work on one journal.
pub struct Writer {
    options: PgConnectOptions,
    /// Idle ones.
    connections: Vec<PgConnection>,
    /// Batches that are sent and have not landed yet.
    flying: usize,
    routes: Arc<Routes>,
    open_since: Option<Instant>,
    render: Render,
    config: Config,
    paused: bool,
    aside: Aside,
    open_holds: OpenHolds,
    memory: Memory,
    /// Of the last attempt.
    trace: Trace,
    /// Of committed transactions, since the caller last took them out.
    pub stages: Vec<Stages>,
    /// Why batches ran again; likewise.
    pub conflicts: Vec<Conflict>,
    /// How batches were written; likewise.
    pub paths: Vec<Path>,
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
            connections: Vec::new(),
            flying: 0,
            routes,
            open_since: None,
            render,
            paused: false,
            aside: Aside::default(),
            open_holds: OpenHolds::new(config.max_open_holds),
            memory: Memory::default(),
            config,
            trace: Trace::default(),
            stages: Vec::new(),
            conflicts: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Tries once to write a group under locks.
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
            outcome = self.under_locks(&mut connection, requests, group, look_up) => outcome,
            // Dropping the connection ends what it began, unless it was in its commit.
            () = limit => return Err(if self.trace.committing {
                Setback::Unknown(sqlx::Error::PoolTimedOut)
            } else {
                Setback::Trouble(sqlx::Error::PoolTimedOut)
            }),
        };
        match &outcome {
            Ok(_) => self.connections.push(connection),
            Err(Setback::Refused(_)) => self.roll_back(connection).await,
            // Whatever is wrong with this session, the next one is fresh.
            Err(Setback::Trouble(_) | Setback::Clock { .. } | Setback::Unknown(_)) => drop(connection),
        }
        outcome
    }

    async fn connect(&mut self) -> Result<PgConnection, Setback> {
        if let Some(connection) = self.connections.pop() {
            return Ok(connection);
        }
        let connecting = tokio::time::timeout(ATTEMPT_LIMIT, self.options.connect()).await;
        let connection = connecting.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let mut connection = connection.map_err(Setback::Trouble)?;
        // A timeout of the role or the database would count on during the COMMIT of one trip, and end its wait for a
        // synchronous standby, with a warning only. Under locks, transactions set their own.
        let unlimited = sqlx::raw_sql("SET statement_timeout = 0").execute(&mut connection);
        let unlimited = tokio::time::timeout(ATTEMPT_LIMIT, unlimited).await;
        unlimited
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(Setback::Trouble)?;
        Ok(connection)
    }

    async fn roll_back(&mut self, mut connection: PgConnection) {
        let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut connection);
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(1), rollback).await {
            self.connections.push(connection);
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

    /// What is to be kept of a batch that was committed.
    fn committed(&mut self, stages: Stages, staging: &Staging) {
        self.stages.push(stages);
        self.aside.committed();
        self.open_holds.remember(&staging.loaded);
        let created = staging.written_heads();
        let created = created.iter().filter(|(_, head)| head.loaded_version == 0);
        self.routes
            .remember(created.map(|(id, head)| (*id, head.partition)));
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

    /// Takes the locks first for a while, whatever the configuration: for tests that alternate.
    pub fn pause_one_trip(&mut self, pause: bool) {
        self.paused = pause;
    }

    /// Closes the connections properly.
    pub async fn close(&mut self) {
        for connection in self.connections.drain(..) {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }
}
