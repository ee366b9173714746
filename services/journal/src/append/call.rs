//! One call of the writer: its requests in groups that share a transaction, which of them are in doubt, and which are
//! left for a later call.
//!
//! The invariant: nobody is told that nothing was stored while a COMMIT that held the request may still take place, or
//! may have taken place. The doubt ends only when the key is looked up under a lock that this COMMIT's transaction
//! held; and if that was sent in one trip, when it would be refused as too old.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use wallex_domain::Partition;

use super::Stages;
use super::path::Why;
use super::request::{Reply, Request};

/// Receives the reply to a request as soon as there is one: the request's index, the reply, and the stage durations of
/// the transaction in which it was decided.
pub type Take<'a> = &'a mut (dyn FnMut(usize, Reply, Option<Stages>) + Send);

/// Requests that share a transaction.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) indices: Vec<usize>,
    /// One of them is a suspect: use short timeouts.
    pub(super) suspect: bool,
    /// Locked heads are skipped instead of waited for.
    pub(super) skip_locked: bool,
    /// It has already been judged: try it now.
    pub(super) alone: bool,
    /// All of them need this partition, which somebody has locked.
    pub(super) partition: Option<Partition>,
    /// When its trouble began.
    pub(super) since: Option<Instant>,
}

impl Group {
    /// A request to try in a transaction of its own.
    pub(super) fn alone(index: usize) -> Self {
        Self {
            indices: vec![index],
            suspect: true,
            skip_locked: true,
            alone: true,
            ..Self::default()
        }
    }
}

/// One call of the writer.
pub(super) struct Call<'a> {
    pub(super) requests: &'a [Request],
    pub(super) deadlines: &'a [Instant],
    pub(super) take: Take<'a>,
    /// For requests whose COMMIT got no answer: the partitions that its transaction held.
    /// It ends with a look-up that begins after this time.
    pub(super) doubts: HashMap<usize, Vec<(BTreeSet<Partition>, Instant)>>,
    pub(super) later: Vec<usize>,
    /// Why it is not written in one trip, if it is not.
    pub(super) why: Why,
}

impl Call<'_> {
    pub(super) fn answer(&mut self, index: usize, reply: Reply, stages: Option<Stages>) {
        let reply = match reply {
            Reply::Answered { .. } | Reply::KeyReused => reply,
            Reply::NotFound(_) | Reply::Unavailable | Reply::OutcomeUnknown | Reply::Failed => {
                if self.doubts.contains_key(&index) {
                    Reply::OutcomeUnknown
                } else {
                    reply
                }
            }
        };
        (self.take)(index, reply, stages);
    }

    /// Their COMMIT got no answer, and their transaction held these partitions.
    pub(super) fn doubt(&mut self, indices: &[usize], held: &BTreeSet<Partition>, until: Instant) {
        for index in indices {
            let doubts = self.doubts.entry(*index).or_default();
            doubts.push((held.clone(), until));
        }
    }

    /// To be tried again in the next batch.
    pub(super) fn postpone(&mut self, index: usize) {
        if self.doubts.contains_key(&index) {
            self.answer(index, Reply::OutcomeUnknown, None);
        } else {
            self.later.push(index);
        }
    }

    /// Answers the group's requests whose deadline is at or before `now`.
    pub(super) fn give_up(&mut self, group: &mut Vec<usize>, now: Instant) {
        group.retain(|index| {
            let open = now < self.deadlines[*index];
            if !open {
                self.answer(*index, Reply::Unavailable, None);
            }
            open
        });
    }

    /// These requests were looked up under the locks of these partitions, by an attempt that began then.
    pub(super) fn looked(&mut self, indices: &[usize], locked: &BTreeSet<Partition>, began: Instant) {
        if self.doubts.is_empty() {
            return;
        }
        for index in indices {
            if let Some(doubts) = self.doubts.get_mut(index) {
                doubts.retain(|(held, until)| began < *until || held.is_disjoint(locked));
                if doubts.is_empty() {
                    self.doubts.remove(index);
                }
            }
        }
    }
}
