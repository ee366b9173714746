//! Decides the requests of a batch in arrival order, each seeing what the ones before it did. No I/O.
//!
//! The invariant: a wallet is decided on only if its head's partition is among the locked ones, and only after its due
//! holds have been ended.

use wallex_domain::{Command, Partition, Rejection, WalletId, decide, expire};

use super::outcome::{Decision, Defect, Staged};
use super::record::{Cause, Recorded};
use super::request::{Answer, Committed, Item, Render, Reply, Request, Work};
use super::route::Routed;
use super::staging::Staging;
use super::state::{Key, StoredAnswer};

/// The actor of events that nobody asked for: expiring holds.
const SYSTEM: &str = "wallex";

/// The result of one command of a request.
struct Answered {
    answer: Answer,
    rejection: Option<Rejection>,
    /// An earlier movement's answer, repeated.
    replayed: bool,
}

impl From<Answered> for Decision {
    fn from(answered: Answered) -> Self {
        if answered
            .rejection
            .is_some_and(|rejection| rejection.is_not_found())
        {
            return Self::NotFound(answered.answer);
        }
        Self::Answered {
            answer: answered.answer,
            replayed: answered.replayed,
        }
    }
}

/// Why a command has no events.
enum Stop {
    Rejected(Rejection),
    Defect(Defect),
}

impl From<Defect> for Stop {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

impl Staging {
    /// Decides one request, which was routed to `routed`.
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
        if commands.clone().any(|command| self.loaded.is_unreadable(command))
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
            Work::One(item) => self.answer(request, item, routed, render).map(Decision::from),
            Work::Batch {
                items,
                refused,
                atomic,
            } => self.stage_batch(request, (items, refused), *atomic, routed, render),
        };
        let (answer, replayed) = match decided {
            Ok(Decision::Answered { answer, replayed }) => (answer, replayed),
            Ok(Decision::NotFound(answer)) => return Staged::Reply(Reply::NotFound(answer)),
            Err(error) => return Staged::defect(&error),
        };
        if let Some(key) = key {
            let stored = StoredAnswer {
                fingerprint: request.fingerprint,
                answer: answer.clone(),
                partition: self.home(request),
            };
            self.new_answers.insert(key, stored);
        }
        Staged::Reply(Reply::Answered { answer, replayed })
    }

    /// Where the first wallet lives that a request touches: the payer.
    fn home(&self, request: &Request) -> Option<Partition> {
        let first = &request.work.items().first()?.command;
        let touched = self.loaded.touched(first).ok()?;
        self.loaded.home(*touched.first()?)
    }

    fn stage_batch(
        &mut self,
        request: &Request,
        (items, refused): (&[Item], &[(usize, Answer)]),
        atomic: bool,
        routed: &Routed,
        render: Render,
    ) -> Result<Decision, Defect> {
        self.begin_undo();
        let mut answers = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let mut answered = match self.answer(request, item, routed, render) {
                Ok(answered) => answered,
                Err(defect) => {
                    self.undo();
                    return Err(defect);
                }
            };
            if atomic && answered.rejection.is_some() {
                self.undo();
                answered.answer = (render.batch)(Err((index, &answered.answer)));
                return Ok(answered.into());
            }
            answers.push(answered.answer);
        }
        self.undo = None;
        Ok(Decision::Answered {
            answer: (render.batch)(Ok(&in_place(answers, refused))),
            replayed: false,
        })
    }

    /// Decides one command and renders its answer; a movement that was made before gets its first answer.
    fn answer(
        &mut self,
        request: &Request,
        item: &Item,
        routed: &Routed,
        render: Render,
    ) -> Result<Answered, Defect> {
        let decided = match self.named_before(item) {
            Some(Ok(answer)) => {
                return Ok(Answered {
                    answer,
                    rejection: None,
                    replayed: true,
                });
            }
            Some(Err(rejection)) => Err(rejection),
            None => match self.decide(request, item, routed) {
                Ok(committed) => Ok(committed),
                Err(Stop::Rejected(rejection)) => Err(rejection),
                Err(Stop::Defect(defect)) => return Err(defect),
            },
        };
        let answer = (render.one)(&item.command, decided.as_ref());
        if let Ok(committed) = &decided {
            self.keep_name(item, committed, &answer);
        }
        Ok(Answered {
            answer,
            rejection: decided.err(),
            replayed: false,
        })
    }

    /// Decides one command and records its events, after those of due holds.
    fn decide(&mut self, request: &Request, item: &Item, routed: &Routed) -> Result<Committed, Stop> {
        if !self.loaded.due.is_empty() {
            // A wallet that does not exist has no holds; `decide` reports it.
            for wallet in self.loaded.touched(&item.command).unwrap_or_default() {
                self.end_due_holds(wallet)?;
            }
        }
        let decided = decide(&self.loaded, &item.command).map_err(Stop::Rejected)?;
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
        Ok(Committed {
            transaction_id,
            recorded_at,
            amount,
            wallets,
            hold: hold.and_then(|id| self.loaded.holds.get(&id).cloned()),
        })
    }

    /// Whether the request must wait for a later batch: one of its wallets has more due holds than a batch ends, and
    /// this batch ends some of them, or more open holds than could be counted.
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
        let mut places = commands().filter_map(Command::places);
        let uncounted = places.any(|(_, wallet)| self.loaded.uncounted.contains(&wallet));
        Ok(uncounted || !crowded.is_empty())
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
            if hold.is_due(self.loaded.clock) {
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
        // A wallet that does not exist has no partition; `decide` reports it.
        let touched = self.loaded.touched(command).ok()?;
        touched.into_iter().find(|id| match self.loaded.heads.get(id) {
            Some(head) => locked(head.partition).is_none(),
            None => match routed.home(*id) {
                // About to be created.
                Some(home) => !locked(home).is_some_and(|partition| partition.open),
                // A hold placed after the request was routed leads to a wallet that nobody has loaded.
                None => !command.wallets().any(|named| named == *id),
            },
        })
    }
}

/// All answers of a batch in command order: the decided ones, with those that were given before in between.
fn in_place(decided: Vec<Answer>, refused: &[(usize, Answer)]) -> Vec<Answer> {
    let places = decided.len() + refused.len();
    let (mut decided, mut refused) = (decided.into_iter(), refused.iter().peekable());
    let answers = (0..places).map(|place| match refused.next_if(|(index, _)| *index == place) {
        Some((_, answer)) => Some(answer.clone()),
        None => decided.next(),
    });
    answers.flatten().collect()
}
