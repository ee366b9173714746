//! A batch between load and write: decides its requests in arrival order on what was loaded, each seeing
//! what the ones before it did, and numbers and chains the events. No I/O.
//!
//! The invariant: a wallet is decided on only when its head's partition is among the locked ones, and after its
//! holds that are due have been ended.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;
use wallex_domain::{
    Command, Hash, Hold, HoldId, Mark, Partition, Position, Rejection, State, Transaction, Wallet, WalletId,
    decide, expire,
};

use super::movement::Named;
use super::record::{Cause, Recorded};
use super::request::{Answer, Committed, Item, Render, Reply, Request, Work};
use super::routing::Routed;
use super::undo::Undo;
use crate::{Event, personal::Sealed};

/// Whose events are those that nobody asked for: holds that expire.
const SYSTEM: &str = "wallex";

/// A locked partition row, as it stands after what has been staged.
#[derive(Debug, Clone)]
pub(super) struct LockedPartition {
    pub head: Mark,
    pub last_recorded_at: i64,
    pub open: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub wallet: Wallet,
    pub partition: Partition,
    pub external_id: Option<String>,
    /// Version that the journal has; 0 for a wallet created in this batch.
    pub loaded_version: i64,
}

#[derive(Debug, Clone)]
pub(super) struct StoredAnswer {
    pub fingerprint: Hash,
    pub answer: Answer,
}

pub(super) type Key = (Arc<str>, Arc<str>);

/// What step 2 of the protocol brought, as it stands after what has been staged.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub partitions: BTreeMap<Partition, LockedPartition>,
    pub heads: HashMap<WalletId, Head>,
    /// Wallets that are there and that this build cannot read.
    pub unreadable: HashSet<WalletId>,
    pub unreadable_holds: HashSet<HoldId>,
    pub unreadable_transactions: HashSet<Uuid>,
    /// Wallets that were passed over, because somebody has locked their heads.
    pub locked: HashSet<WalletId>,
    pub answers: HashMap<Key, StoredAnswer>,
    pub external_ids: HashMap<String, WalletId>,
    /// Of the movements' own names in the batch those that are taken.
    pub movements: HashMap<String, Named>,
    /// Those that the batch names, and those that are due.
    pub holds: HashMap<HoldId, Hold>,
    /// Wallets that have more due holds than are in `due`: nothing else is decided on them in this batch.
    pub crowded: HashSet<WalletId>,
    /// Open holds by wallet, where the batch places one; those of `uncounted` are for a later batch.
    pub open_holds: HashMap<WalletId, i64>,
    pub uncounted: HashSet<WalletId>,
    pub max_open_holds: i64,
    /// Holds to be ended before anything else happens to their wallet, in the order of their time.
    pub due: HashMap<WalletId, Vec<HoldId>>,
    /// Those that the batch names. Facts, so they need no lock.
    pub transactions: HashMap<Uuid, Transaction>,
    pub reversed: HashMap<Uuid, i64>,
    /// The database's clock, read after the locks. Microseconds.
    pub clock: i64,
}

/// How one request of the batch came out.
#[derive(Debug)]
pub(super) enum Staged {
    Reply(Reply),
    /// Routed to a partition that is not the wallet's: to be routed anew into a later batch.
    Misrouted(WalletId),
    /// Not to be decided in this batch, but in a later one.
    Later,
    /// To be tried in a transaction of its own.
    Alone,
    /// Somebody has locked the head of this wallet.
    Locked(WalletId),
}

impl Staged {
    /// Whether it tells of what an earlier transaction committed.
    pub(super) fn is_from_the_store(&self) -> bool {
        match self {
            Self::Reply(Reply::Answered { replayed, .. }) => *replayed,
            Self::Reply(Reply::KeyReused) => true,
            Self::Reply(Reply::NotFound(_) | Reply::Unavailable | Reply::OutcomeUnknown | Reply::Failed)
            | Self::Misrouted(_)
            | Self::Later
            | Self::Alone
            | Self::Locked(_) => false,
        }
    }

    fn defect(error: &Defect) -> Self {
        tracing::error!(%error, "a decided event does not apply");
        Self::Reply(Reply::Failed)
    }
}

/// How one command of a request came out.
struct Answered {
    answer: Answer,
    rejection: Option<Rejection>,
    /// An earlier movement's answer, given again.
    replayed: bool,
}

/// A decided event that does not apply: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Defect(pub(super) String);

#[derive(Debug)]
pub(super) struct Staging {
    pub(super) loaded: Loaded,
    /// The batch's time: the database's clock. Events of a partition that is ahead of it are recorded later.
    pub now: i64,
    pub events: Vec<Event>,
    pub personal: Vec<(Uuid, WalletId, Sealed)>,
    /// Erasures: event, wallet, version.
    pub erasures: Vec<(Uuid, WalletId, i64)>,
    /// Answers decided in this batch, by key.
    pub new_answers: BTreeMap<Key, StoredAnswer>,
    /// Holds that the batch changed; `true` for those that it placed.
    pub(super) changed_holds: BTreeMap<HoldId, bool>,
    pub(super) changed_reversed: BTreeSet<Uuid>,
    /// While a request of many commands is decided.
    pub(super) undo: Option<Undo>,
}

impl Staging {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self {
            now: loaded.clock,
            loaded,
            events: Vec::new(),
            personal: Vec::new(),
            erasures: Vec::new(),
            new_answers: BTreeMap::new(),
            changed_holds: BTreeMap::new(),
            changed_reversed: BTreeSet::new(),
            undo: None,
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.new_answers.is_empty() && self.events.is_empty()
    }

    /// Heads that the batch created or changed, by wallet id.
    pub(super) fn written_heads(&self) -> BTreeMap<WalletId, &Head> {
        let written = self
            .loaded
            .heads
            .iter()
            .filter(|(_, head)| head.wallet.version > head.loaded_version);
        written.map(|(id, head)| (*id, head)).collect()
    }

    /// Holds that the batch placed, and earlier ones that it ended, by id.
    pub(super) fn written_holds(&self) -> (Vec<&Hold>, Vec<&Hold>) {
        let of = |placed: bool| {
            let changed = self.changed_holds.iter();
            changed
                .filter(move |(_, was_placed)| **was_placed == placed)
                .filter_map(|(id, _)| self.loaded.holds.get(id))
                .collect()
        };
        (of(true), of(false))
    }

    /// What is taken back now of transactions that the batch reversed, by id.
    pub(super) fn written_reversed(&self) -> Vec<(Uuid, i64)> {
        let changed = self.changed_reversed.iter();
        changed
            .filter_map(|id| Some((*id, *self.loaded.reversed.get(id)?)))
            .collect()
    }

    /// Decides one request, which was routed by `routed`.
    pub(super) fn stage(&mut self, request: &Request, routed: &Routed, render: Render) -> Staged {
        let key: Option<Key> = request.key.clone().map(|key| (request.caller.clone(), key));
        if let Some(key) = &key
            && let Some(stored) = self.loaded.answers.get(key).or_else(|| self.new_answers.get(key))
        {
            if stored.fingerprint != request.fingerprint {
                return Staged::Reply(Reply::KeyReused);
            }
            return Staged::Reply(Reply::Answered {
                answer: stored.answer.clone(),
                replayed: true,
            });
        }
        if let Some(locked) = routed.wallets.iter().find(|id| self.loaded.locked.contains(id)) {
            return Staged::Locked(*locked);
        }
        let mut commands = request.work.items().iter().map(|item| &item.command);
        if commands.clone().any(|command| self.is_unreadable(command))
            || routed
                .wallets
                .iter()
                .any(|id| self.loaded.unreadable.contains(id))
        {
            return Staged::Reply(Reply::Failed);
        }
        if let Some(misrouted) = commands.find_map(|command| self.misrouted(command, routed)) {
            return Staged::Misrouted(misrouted);
        }
        match self.put_off(request, routed) {
            Ok(true) => return Staged::Later,
            Ok(false) => {}
            Err(error) => return Staged::defect(&error),
        }
        let decided = match &request.work {
            Work::One(item) => self.stage_one(request, item, routed, render),
            Work::Batch {
                items,
                refused,
                atomic,
            } => self.stage_batch(request, (items, refused), *atomic, routed, render),
        };
        let (answer, replayed) = match decided {
            Ok(Ok(answered)) => answered,
            Ok(Err(not_found)) => return Staged::Reply(Reply::NotFound(not_found)),
            Err(error) => return Staged::defect(&error),
        };
        if let Some(key) = key {
            let stored = StoredAnswer {
                fingerprint: request.fingerprint,
                answer: answer.clone(),
            };
            self.new_answers.insert(key, stored);
        }
        Staged::Reply(Reply::Answered { answer, replayed })
    }

    /// Decides one command and renders its answer; a movement that has been made before gets the one it had.
    fn answer(
        &mut self,
        request: &Request,
        item: &Item,
        routed: &Routed,
        render: Render,
    ) -> Result<Answered, Defect> {
        let decision = match self.named_before(item) {
            Some(Ok(answer)) => {
                return Ok(Answered {
                    answer,
                    rejection: None,
                    replayed: true,
                });
            }
            Some(Err(rejection)) => Err(rejection),
            None => self.decide(request, item, routed)?,
        };
        let answer = (render.one)(&item.command, decision.as_ref());
        if let Ok(committed) = &decision {
            self.keep_name(item, committed, &answer);
        }
        Ok(Answered {
            answer,
            rejection: decision.err(),
            replayed: false,
        })
    }

    /// The answer, and whether it was given before. `Ok(Err(…))`: the answer that something does not exist, which is not
    /// to be kept.
    fn stage_one(
        &mut self,
        request: &Request,
        item: &Item,
        routed: &Routed,
        render: Render,
    ) -> Result<Result<(Answer, bool), Answer>, Defect> {
        let answered = self.answer(request, item, routed, render)?;
        Ok(match answered.rejection {
            Some(rejection) if rejection.is_not_found() => Err(answered.answer),
            Some(_) | None => Ok((answered.answer, answered.replayed)),
        })
    }

    fn stage_batch(
        &mut self,
        request: &Request,
        (items, refused): (&[Item], &[(usize, Answer)]),
        atomic: bool,
        routed: &Routed,
        render: Render,
    ) -> Result<Result<(Answer, bool), Answer>, Defect> {
        self.begin_undo();
        let mut answers = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let Answered {
                answer, rejection, ..
            } = match self.answer(request, item, routed, render) {
                Ok(answered) => answered,
                Err(defect) => {
                    self.undo();
                    return Err(defect);
                }
            };
            match rejection {
                Some(rejection) if atomic => {
                    self.undo();
                    let answer = (render.batch)(Err((index, &answer)));
                    return Ok(if rejection.is_not_found() {
                        Err(answer)
                    } else {
                        Ok((answer, false))
                    });
                }
                Some(_) | None => answers.push(answer),
            }
        }
        self.undo = None;
        Ok(Ok(((render.batch)(Ok(&in_place(answers, refused))), false)))
    }

    /// Decides one command and records its events, after those of the holds that are due.
    fn decide(
        &mut self,
        request: &Request,
        item: &Item,
        routed: &Routed,
    ) -> Result<Result<Committed, Rejection>, Defect> {
        if !self.loaded.due.is_empty() {
            // What does not exist has no holds; `decide` says so.
            for wallet in self.touched(&item.command).unwrap_or_default() {
                self.end_due_holds(wallet)?;
            }
        }
        let decided = match decide(self, &item.command) {
            Ok(decided) => decided,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let amount = decided.first().map_or(0, |decided| decided.event.amount());
        let cause = Cause {
            actor: &request.caller,
            traceparent: request.traceparent.as_deref(),
            personal: item.personal.as_ref(),
        };
        let Recorded {
            transaction_id,
            recorded_at,
            wallets,
        } = self.record(&cause, Some(routed), decided)?;
        let hold = item.command.named_hold();
        Ok(Ok(Committed {
            transaction_id,
            recorded_at,
            amount,
            wallets,
            hold: hold.and_then(|id| self.loaded.holds.get(&id).cloned()),
        }))
    }

    /// Whether the request is for a later batch: one of its wallets has more due holds than a batch ends, of which this
    /// one ends some, or more open holds than could be counted.
    fn put_off(&mut self, request: &Request, routed: &Routed) -> Result<bool, Defect> {
        if self.loaded.crowded.is_empty() && self.loaded.uncounted.is_empty() {
            return Ok(false);
        }
        let commands = || request.work.items().iter().map(|item| &item.command);
        if commands().all(|command| matches!(command, Command::ExpireHolds(_))) {
            return Ok(false);
        }
        let crowded = routed
            .wallets
            .iter()
            .filter(|id| self.loaded.crowded.contains(id));
        let crowded: Vec<WalletId> = crowded.copied().collect();
        for wallet in &crowded {
            self.end_due_holds(*wallet)?;
        }
        let mut places = commands().filter_map(Command::places_on);
        let uncounted = places.any(|wallet| self.loaded.uncounted.contains(&wallet));
        Ok(uncounted || !crowded.is_empty())
    }

    /// Whether the hold or the transaction that the command names is there and cannot be read by this build.
    fn is_unreadable(&self, command: &Command) -> bool {
        let hold = command.named_hold();
        let transaction = command.transaction();
        hold.is_some_and(|id| self.loaded.unreadable_holds.contains(&id))
            || transaction.is_some_and(|id| self.loaded.unreadable_transactions.contains(&id))
    }

    fn touched(&self, command: &Command) -> Result<Vec<WalletId>, Rejection> {
        command.touched(
            |hold| self.loaded.holds.get(&hold).map(|hold| hold.wallet_id),
            |transaction| {
                let transaction = self.loaded.transactions.get(&transaction)?;
                Some(transaction.wallets.iter().copied())
            },
        )
    }

    fn end_due_holds(&mut self, wallet: WalletId) -> Result<(), Defect> {
        let Some(due) = self.loaded.due.remove(&wallet) else {
            return Ok(());
        };
        let cause = Cause {
            actor: SYSTEM,
            traceparent: None,
            personal: None,
        };
        for id in &due {
            let (Some(hold), Some(head)) = (self.loaded.holds.get(id), self.loaded.heads.get(&wallet)) else {
                continue;
            };
            if hold.is_due(self.now) {
                let expired = expire(&head.wallet, hold);
                self.record(&cause, None, vec![expired])?;
            }
        }
        if let Some(undo) = &mut self.undo {
            undo.due.push((wallet, due));
        }
        Ok(())
    }

    /// A touched wallet that lives in a partition this batch has not locked.
    fn misrouted(&self, command: &Command, routed: &Routed) -> Option<WalletId> {
        let locked = |partition: Partition| self.loaded.partitions.get(&partition);
        // What does not exist is nowhere; `decide` says so.
        let touched = self.touched(command).ok()?;
        touched.into_iter().find(|id| match self.loaded.heads.get(id) {
            Some(head) => locked(head.partition).is_none(),
            None => match routed.home(*id) {
                // About to be created.
                Some(home) => !locked(home).is_some_and(|partition| partition.open),
                // A hold that was placed after the request was routed leads to a wallet nobody has loaded.
                None => !command.wallets().any(|named| named == *id),
            },
        })
    }
}

impl State for Staging {
    fn now(&self) -> i64 {
        self.now
    }

    fn wallet(&self, id: WalletId) -> Option<&Wallet> {
        self.loaded.heads.get(&id).map(|head| &head.wallet)
    }

    fn external_id_holder(&self, external_id: &str) -> Option<WalletId> {
        self.loaded.external_ids.get(external_id).copied()
    }

    fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.loaded.holds.get(&id)
    }

    fn open_holds(&self, id: WalletId) -> i64 {
        self.loaded.open_holds.get(&id).copied().unwrap_or(0)
    }

    fn max_open_holds(&self) -> i64 {
        self.loaded.max_open_holds
    }

    fn transaction(&self, id: Uuid) -> Option<&Transaction> {
        self.loaded.transactions.get(&id)
    }

    fn reversed(&self, transaction_id: Uuid) -> i64 {
        self.loaded.reversed.get(&transaction_id).copied().unwrap_or(0)
    }

    fn next_positions(&self, first: WalletId, second: WalletId) -> (Position, Position) {
        let next = |id, offset| {
            let partition = self
                .loaded
                .heads
                .get(&id)
                .map_or(Partition(-1), |head| head.partition);
            let last_seq = self
                .loaded
                .partitions
                .get(&partition)
                .map_or(0, |row| row.head.seq);
            Position {
                partition,
                seq: last_seq + offset,
            }
        };
        let first = next(first, 1);
        let second = next(second, 1);
        if first.partition == second.partition {
            return (
                first,
                Position {
                    seq: second.seq + 1,
                    ..second
                },
            );
        }
        (first, second)
    }
}

/// All answers of a batch in the order of its commands: those that were decided, and between them those that were given
/// before.
fn in_place(decided: Vec<Answer>, refused: &[(usize, Answer)]) -> Vec<Answer> {
    let places = decided.len() + refused.len();
    let (mut decided, mut refused) = (decided.into_iter(), refused.iter().peekable());
    let answers = (0..places).map(|place| match refused.next_if(|(index, _)| *index == place) {
        Some((_, answer)) => Some(answer.clone()),
        None => decided.next(),
    });
    answers.flatten().collect()
}
