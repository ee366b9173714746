//! The append in one trip: a batch is decided on what the writer remembers, before any lock, and `journal.append` locks,
//! compares, writes and commits in one statement. What is not remembered is read first, also without locks.
//!
//! The invariant: whatever turns out different under the locks, nothing is written, and the batch takes the path that
//! locks first. No lock ever waits for this process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use tokio::task::{JoinError, JoinHandle};
use wallex_domain::{Command, Hold, HoldId, Partition, WalletId};

use super::Writer;
use super::config::{ATTEMPT_LIMIT, MAX_LEAD};
use super::look_up::Found;
use super::outcome::Staged;
use super::path::Why;
use super::request::{Reply, Request, Work};
use super::setback::Setback;
use super::stages::Stopwatch;
use super::staging::Staging;
use super::state::{Head, Loaded, LockedPartition};
use super::write::{InOneTrip, Write};

/// How far a batch's time may be from the database's clock. Decided and sent at once, it is a few milliseconds; more is
/// a process that stood still in between, and a hold may have become due since.
pub(super) const LEEWAY: Duration = Duration::from_secs(1);

/// A batch on its way: decided and sent. The writer already remembers what it will leave; if it fails, so do those that
/// were decided on that.
#[must_use = "it must land"]
pub struct Sent {
    /// Into the batch's requests.
    pub(super) indices: Vec<usize>,
    pub(super) staged: Vec<(usize, Staged)>,
    pub(super) staging: Staging,
    /// What it was decided on.
    pub(super) before: BTreeMap<Partition, LockedPartition>,
    pub(super) heads: HashMap<WalletId, Head>,
    pub(super) load: Duration,
    pub(super) decide: Duration,
    pub(super) since: Instant,
    /// `None` if there is nothing to write.
    writing: Option<JoinHandle<Written>>,
    pub(super) answer: Option<Result<Written, JoinError>>,
}

/// The connection, if it is still good, and the database's clock.
type Written = (Option<PgConnection>, Result<Option<i64>, sqlx::Error>);

impl Sent {
    /// Waits until the database has answered. May be dropped and called again.
    pub async fn answered(&mut self) {
        if let Some(writing) = &mut self.writing {
            self.answer = Some(writing.await);
            self.writing = None;
        }
    }
}

impl Writer {
    /// Decides requests on what is remembered and sends them, without waiting for the outcome. `Err`: nothing was sent.
    pub(super) async fn send_each(&mut self, requests: &[Request], indices: Vec<usize>) -> Result<Sent, Why> {
        if !self.config.one_trip || self.paused {
            return Err(Why::Off);
        }
        let mut watch = Stopwatch::start();
        let items = indices.iter().flat_map(|index| requests[*index].work.items());
        let commands: Vec<&Command> = items.map(|item| &item.command).collect();
        if commands.iter().any(|command| command.transaction().is_some()) {
            return Err(Why::Transactions);
        }
        let clock = self.memory.clock().ok_or(Why::Cold)?;
        if clock > (self.config.clock)().saturating_add(MAX_LEAD) {
            return Err(Why::Clock);
        }
        if self.needs_open_partitions(requests, &indices) {
            return Err(Why::Cold);
        }
        self.read_missing(&commands).await?;
        let load = watch.lap();

        let mut sent = self.decide_on_memory(requests, indices, &commands, clock)?;
        (sent.load, sent.decide) = (load, watch.lap());
        if sent.before.is_empty() {
            return Ok(sent);
        }
        if sent.staging.is_empty() {
            // Nothing would compare what it was decided on.
            return Err(Why::Cold);
        }
        let created = commands.iter().filter_map(|command| command.creates());
        let one_trip = InOneTrip {
            remembered: &sent.before,
            leeway: LEEWAY,
            lock_timeout: self.config.timeouts.beside,
            movement_names: commands
                .iter()
                .filter_map(|command| command.movement_id())
                .collect(),
            wallet_names: created
                .filter_map(|create| create.external_id.as_deref())
                .collect(),
            placed_holds: commands
                .iter()
                .filter_map(|command| Some(command.places()?.0.0))
                .collect(),
        };
        let write = Write::new(&sent.staging, self.config.retention, Some(&one_trip));
        let write = write.map_err(|_| Why::Again)?;
        let db = self.connect().await.map_err(|_| Why::Again)?;
        self.memory.expect(&sent.before, &sent.staging.loaded);
        self.flying += 1;
        sent.writing = Some(tokio::spawn(written(db, write)));
        Ok(sent)
    }

    /// Reads the wallets that are not remembered, together with their partitions.
    async fn read_missing(&mut self, commands: &[&Command]) -> Result<(), Why> {
        let created = commands.iter().filter_map(|command| command.creates());
        let created: HashSet<WalletId> = created.map(|create| create.wallet_id).collect();
        let mut missing = Vec::new();
        let named = commands.iter().flat_map(|command| command.wallets());
        let holds = commands.iter().filter_map(|command| command.hold());
        let behind_holds = holds
            .filter_map(|id| self.memory.hold(id))
            .map(|hold| hold.wallet_id);
        for id in named.chain(behind_holds) {
            let lives_in = self.routes.get(id);
            if lives_in.is_some_and(|partition| self.memory.is_contested(partition)) {
                return Err(Why::Stale);
            }
            let is_known = lives_in.is_some() && self.memory.head(id).is_some();
            // Most ids of new wallets are new.
            if !is_known && (lives_in.is_some() || !created.contains(&id)) {
                missing.push(id.0);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if self.flying > 0 {
            // What is read would be older than what is expected.
            return Err(Why::Cold);
        }
        missing.sort_unstable();
        missing.dedup();
        let mut db = self.connect().await.map_err(|_| Why::Again)?;
        let read = tokio::time::timeout(ATTEMPT_LIMIT, super::load::read_heads(&mut db, missing)).await;
        // A row that this build cannot read affects only its wallet; the other path knows how.
        let heads = read.map_err(|_| Why::Again)?.map_err(|_| Why::Again)?;
        self.connections.push(db);
        for (head, partition) in heads {
            self.routes.remember([(head.wallet.id, head.partition)]);
            self.memory.saw_partition(head.partition, &partition);
            self.memory.saw_head(head);
        }
        Ok(())
    }

    /// Decides the batch without I/O.
    fn decide_on_memory(
        &mut self,
        requests: &[Request],
        indices: Vec<usize>,
        commands: &[&Command],
        clock: i64,
    ) -> Result<Sent, Why> {
        let mut staged = Vec::with_capacity(indices.len());
        let mut routed = Vec::with_capacity(indices.len());
        let holds = self.remembered_holds(commands)?;
        let found = Found {
            holds: holds.values().map(|hold| (hold.id, hold.wallet_id)).collect(),
            ..Found::default()
        };
        for (index, route) in self.route_each(requests, &indices, &found) {
            match route.and_then(|route| self.admit(route, false)) {
                Ok(route) => routed.push((index, route)),
                Err(outcome) => staged.push((index, outcome)),
            }
        }
        let mut loaded = Loaded {
            clock,
            max_open_holds: self.config.max_open_holds,
            holds,
            ..Loaded::default()
        };
        for (_, route) in &routed {
            for id in &route.partitions {
                if !loaded.partitions.contains_key(id) {
                    let why = if self.memory.is_contested(*id) {
                        Why::Stale
                    } else {
                        Why::Cold
                    };
                    let row = self.memory.partition(*id).ok_or(why)?;
                    loaded.partitions.insert(*id, row.clone());
                }
            }
            for id in &route.wallets {
                if loaded.heads.contains_key(id) {
                    continue;
                }
                match self.memory.head_and_due(*id) {
                    Some((head, Some(not_due_before))) if not_due_before > clock => {
                        loaded.heads.insert(*id, head.clone());
                        loaded.not_due_before.insert(*id, not_due_before);
                    }
                    // Some of its holds may be due.
                    Some(_) => return Err(Why::Holds),
                    // Its partition moved while wallets were read.
                    None if self.routes.get(*id).is_some() => return Err(Why::Cold),
                    // It does not exist yet.
                    None => {}
                }
            }
        }
        let items = routed.iter().flat_map(|(index, _)| requests[*index].work.items());
        for (_, id) in items.filter_map(|item| item.command.places()) {
            let count = self.open_holds.count(id, &loaded).ok_or(Why::Holds)?;
            loaded.open_holds.insert(id, count);
        }
        // Also where none is placed, so that the count stays known.
        let holding = loaded.heads.values().filter(|head| head.wallet.held > 0);
        let counts = holding.filter_map(|head| {
            let id = head.wallet.id;
            Some((id, self.open_holds.count(id, &loaded)?))
        });
        let counts: Vec<_> = counts.collect();
        loaded.open_holds.extend(counts);
        let (before, heads) = (loaded.partitions.clone(), loaded.heads.clone());
        let mut staging = Staging::new(loaded);
        for (index, route) in &routed {
            let outcome = staging.stage(&requests[*index], route, self.render);
            // Only under the locks can one be sure that something is not there, and whether there is an answer.
            if !matches!(outcome, Staged::Reply(Reply::Answered { .. } | Reply::KeyReused)) {
                return Err(Why::Cold);
            }
            staged.push((*index, outcome));
        }
        let mut created = commands.iter().filter_map(|command| command.creates());
        if created.any(|create| !staging.loaded.heads.contains_key(&create.wallet_id)) {
            // It is not written, so nothing would notice that the wallet exists.
            return Err(Why::Cold);
        }
        Ok(Sent {
            indices,
            staged,
            staging,
            before,
            heads,
            load: Duration::ZERO,
            decide: Duration::ZERO,
            since: Instant::now(),
            writing: None,
            answer: None,
        })
    }

    /// The holds that exist already and that the commands name, unless earlier commands of the batch place them.
    fn remembered_holds(&self, commands: &[&Command]) -> Result<HashMap<HoldId, Hold>, Why> {
        let (mut holds, mut placed) = (HashMap::new(), HashSet::new());
        for command in commands {
            placed.extend(command.places().map(|(id, _)| id));
            if let Some(id) = command.hold()
                && !placed.contains(&id)
            {
                let hold = self.memory.hold(id).ok_or(Why::Holds)?;
                holds.insert(id, hold.clone());
            }
        }
        Ok(holds)
    }

    /// Whether the list of partitions that take new wallets is needed and too old.
    fn needs_open_partitions(&self, requests: &[Request], indices: &[usize]) -> bool {
        self.open_is_old()
            && indices.iter().any(|index| match &requests[*index].work {
                Work::One(item) => item.command.creates().is_some(),
                Work::Batch { .. } => true,
            })
    }
}

/// Whatever happens to whoever waits for it, what was sent is carried to its end.
async fn written(mut db: PgConnection, write: Write) -> Written {
    match tokio::time::timeout(ATTEMPT_LIMIT, write.send(&mut db)).await {
        Ok(Ok(clock)) => (Some(db), Ok(clock)),
        // What the server refuses leaves the session in order; whatever else is wrong with it, the next one is fresh.
        Ok(Err(error)) => (Setback::leaves_the_session(&error).then_some(db), Err(error)),
        Err(_) => (None, Err(sqlx::Error::PoolTimedOut)),
    }
}
