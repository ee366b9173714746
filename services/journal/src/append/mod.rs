//! The append protocol: one batch of requests, one transaction, one fsync.
//!
//! ```text
//! 0 route   wallet -> partition, from memory; misses, and what holds and transactions lead to, are looked up
//! 1 lock    BEGIN; partition rows FOR UPDATE in ascending order; the database's clock
//! 2 load    heads of the touched wallets, their due holds, the holds named, stored answers, external ids of wallets and
//!           of movements
//! 3 decide  in arrival order, on what was loaded; due holds end first; rejections are answers too
//! 4 write   answers, heads, personal data, events, partition rows: one statement; holds and the like before it
//! 5 commit  and only then reply
//! ```
//!
//! Why it is correct:
//! - Lock and load are separate statements of a READ COMMITTED transaction, so what is loaded was committed
//!   by whoever held the lock before, and cannot change until this transaction ends.
//! - No partition is locked after step 1, and step 1 locks in ascending order: writers cannot deadlock on
//!   partitions. What may collide beside them (wallet ids, external ids, keys used for
//!   two wallets) is
//!   unique in the schema; the loser's batch rolls back and runs again on what the winner committed.
//! - A reply that was lost is found again by its key, under the same locks. So is the outcome of a COMMIT
//!   whose answer never came: taking the locks waits for the old transaction to end, one way or the other.
//! - A writer that freezes between two statements loses its transaction to the server's time-out, and with
//!   it the locks; what it sends when it wakes is refused. It never had told anybody of success.

mod conflict;
mod load;
mod look_up;
mod movement;
mod record;
mod request;
mod routing;
mod staging;
mod statements;
mod undo;
mod write;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use wallex_domain::{Partition, WalletId};

pub use conflict::Conflict;
pub use request::{Answer, BatchOutcome, Committed, Item, Render, Reply, Request, Work};
use routing::{Routed, Routing};
use staging::{Staged, Staging};
pub use statements::Timeouts;

use crate::maintain::Retention;
use crate::route::Routes;

/// How often a request may turn out to be misrouted before it is given up. Twice is a partition that
/// closed and a wallet that appeared meanwhile; more is a journal that changes under our feet.
const MAX_MISROUTES: usize = 4;

/// Beyond this an attempt is given up as if the connection had broken: the server is not answering at all.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Default)]
pub struct Config {
    pub timeouts: Timeouts,
    /// Of the answers to idempotent requests.
    pub retention: Retention,
}

/// How long each part of a successful batch took.
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
    /// Of the last batch that was committed.
    pub stages: Stages,
    /// Why batches ran again, since whoever counts them has taken them out.
    pub conflicts: Vec<Conflict>,
}

/// Why a batch's transaction did not take place.
#[derive(Debug)]
enum Setback {
    /// The database refused the content (SQLSTATE class 22, 23, 40). Rolled back.
    Refused(sqlx::Error),
    /// The connection or the server is in trouble. Rolled back, or never begun.
    Trouble(sqlx::Error),
    /// COMMIT was sent and its answer never came.
    Unknown(sqlx::Error),
}

impl Setback {
    fn of(error: sqlx::Error) -> Self {
        let class = match &error {
            sqlx::Error::Database(database) => {
                database.code().and_then(|code| code.get(..2).map(str::to_owned))
            }
            _ => None,
        };
        match class.as_deref() {
            Some("22" | "23" | "40") => Self::Refused(error),
            _ => Self::Trouble(error),
        }
    }
}

impl Writer {
    pub fn new(options: PgConnectOptions, routes: Arc<Routes>, render: Render, config: Config) -> Self {
        // A batch's statements are few and all kept prepared; they are logged nowhere.
        let options = options.disable_statement_logging();
        Self {
            options,
            connection: None,
            routes,
            open_since: None,
            render,
            config,
            stages: Stages::default(),
            conflicts: Vec::new(),
        }
    }

    /// Appends a batch and returns a reply for each request, in order. Tries again through failures until
    /// `deadline`; what is open then is answered `Unavailable`, or `OutcomeUnknown` when it may be in.
    pub async fn append(&mut self, requests: &[Request], deadline: Instant) -> Vec<Reply> {
        let mut replies: Vec<Option<Reply>> = vec![None; requests.len()];
        // Groups of requests that share a transaction: first all; after two refusals, each alone.
        let mut groups: VecDeque<Vec<usize>> = VecDeque::from([(0..requests.len()).collect()]);
        while let Some(group) = groups.pop_front() {
            let apart = self.append_group(requests, group, deadline, &mut replies).await;
            for index in apart.into_iter().rev() {
                groups.push_front(vec![index]);
            }
        }
        replies
            .into_iter()
            .map(|reply| reply.unwrap_or(Reply::Failed))
            .collect()
    }

    /// Works on one group until every request has a reply, or returns those that are to go one by one.
    async fn append_group(
        &mut self,
        requests: &[Request],
        mut group: Vec<usize>,
        deadline: Instant,
        replies: &mut [Option<Reply>],
    ) -> Vec<usize> {
        let mut refusals = 0;
        let mut unknown = false;
        let mut misroutes = 0;
        let mut look_up: HashSet<WalletId> = HashSet::new();
        let mut backoff = Duration::from_millis(5);
        while !group.is_empty() {
            let attempted = self.attempt(requests, &group, &look_up).await;
            if let Err(setback) = &attempted {
                self.conflicts.push(Conflict::of(setback));
            }
            match attempted {
                Ok(staged) => {
                    group.clear();
                    for (index, staged) in staged {
                        match staged {
                            Staged::Reply(reply) => replies[index] = Some(reply),
                            Staged::Misrouted(_) if misroutes >= MAX_MISROUTES => {
                                replies[index] = Some(Reply::Unavailable);
                            }
                            Staged::Misrouted(wallet) => {
                                self.routes.forget(wallet);
                                look_up.insert(wallet);
                                group.push(index);
                            }
                        }
                    }
                    if !group.is_empty() {
                        misroutes += 1;
                        self.conflicts.push(Conflict::Misrouted);
                        self.open_since = None;
                    }
                    continue;
                }
                Err(Setback::Refused(error)) => {
                    refusals += 1;
                    tracing::debug!(%error, refusals, requests = group.len(), "batch refused");
                    if refusals >= 2 && group.len() > 1 {
                        self.conflicts.push(Conflict::OneByOne);
                        return group;
                    }
                    if refusals >= 4 {
                        tracing::error!(%error, "a request was refused by the database again and again");
                        group
                            .drain(..)
                            .for_each(|index| replies[index] = Some(Reply::Failed));
                    }
                    continue;
                }
                Err(Setback::Unknown(error)) => {
                    unknown = true;
                    self.connection = None;
                    tracing::warn!(%error, "the outcome of a commit is unknown: asking again under the same locks");
                }
                Err(Setback::Trouble(error)) => {
                    tracing::warn!(%error, "a batch could not be written: trying again");
                }
            }
            if Instant::now() + backoff >= deadline {
                let reply = if unknown {
                    Reply::OutcomeUnknown
                } else {
                    Reply::Unavailable
                };
                group
                    .drain(..)
                    .for_each(|index| replies[index] = Some(reply.clone()));
            } else {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(Duration::from_millis(500));
            }
        }
        Vec::new()
    }

    /// Steps 0 to 5, once.
    async fn attempt(
        &mut self,
        requests: &[Request],
        group: &[usize],
        look_up: &HashSet<WalletId>,
    ) -> Result<Vec<(usize, Staged)>, Setback> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.open_since = None;
                let connecting = tokio::time::timeout(ATTEMPT_LIMIT, self.options.connect()).await;
                connecting
                    .map_err(|_| Setback::Trouble(sqlx::Error::PoolTimedOut))?
                    .map_err(Setback::of)?
            }
        };
        let limit = tokio::time::sleep(ATTEMPT_LIMIT);
        let outcome = tokio::select! {
            outcome = self.transact(&mut connection, requests, group, look_up) => outcome,
            // Where the attempt was is not known: it may have been in its commit.
            () = limit => return Err(Setback::Unknown(sqlx::Error::PoolTimedOut)),
        };
        match &outcome {
            Ok(_) => self.connection = Some(connection),
            Err(Setback::Unknown(_)) => drop(connection),
            Err(Setback::Refused(_) | Setback::Trouble(_)) => {
                let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut connection);
                if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(1), rollback).await {
                    self.connection = Some(connection);
                }
            }
        }
        outcome
    }

    async fn transact(
        &mut self,
        db: &mut PgConnection,
        requests: &[Request],
        group: &[usize],
        look_up: &HashSet<WalletId>,
    ) -> Result<Vec<(usize, Staged)>, Setback> {
        let mut watch = Stopwatch::start();
        let routing = self.route(db, requests, group, look_up);
        let Routing {
            requests: routed,
            transactions,
        } = routing.await.map_err(Setback::of)?;
        let route = watch.lap();
        let partitions: BTreeSet<Partition> = routed
            .iter()
            .filter_map(|(_, route)| route.as_ref().ok())
            .flat_map(|route| route.partitions.iter().copied())
            .collect();
        if partitions.is_empty() {
            return Ok(routed
                .into_iter()
                .filter_map(|(index, route)| Some((index, route.err()?)))
                .collect());
        }

        let locking = statements::begin_and_lock(db, partitions.into_iter(), self.config.timeouts);
        let mut loaded = locking.await.map_err(Setback::of)?;
        let lock = watch.lap();
        let going: Vec<(&Request, &Routed)> = routed
            .iter()
            .filter_map(|(index, route)| Some((&requests[*index], route.as_ref().ok()?)))
            .collect();
        loaded.transactions = transactions;
        load::load(db, &going, &mut loaded).await.map_err(Setback::of)?;
        let load = watch.lap();

        let mut staging = Staging::new(loaded);
        let mut outcome = Vec::with_capacity(routed.len());
        for (index, route) in routed {
            let staged = match route {
                Ok(route) => staging.stage(&requests[index], &route, self.render),
                Err(staged) => staged,
            };
            outcome.push((index, staged));
        }
        let decide = watch.lap();
        if staging.is_empty() {
            sqlx::raw_sql("ROLLBACK").execute(db).await.map_err(Setback::of)?;
            return Ok(outcome);
        }

        write::write(db, &staging, self.config.retention)
            .await
            .map_err(Setback::of)?;
        let write = watch.lap();
        if let Err(error) = sqlx::raw_sql("COMMIT").execute(db).await {
            return Err(match Setback::of(error) {
                Setback::Trouble(error) => Setback::Unknown(error),
                refused => refused,
            });
        }
        self.stages = Stages {
            route,
            lock,
            load,
            decide,
            write,
            commit: watch.lap(),
        };
        let created = staging.written_heads();
        let created = created.iter().filter(|(_, head)| head.loaded_version == 0);
        self.routes
            .remember(created.map(|(id, head)| (*id, head.partition)));
        Ok(outcome)
    }

    /// Ends the connection in good order.
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
