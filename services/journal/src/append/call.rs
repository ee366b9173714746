//! One call of the writer: its requests in groups that share a transaction, what is in doubt about them, and what is left
//! for a later call.
//!
//! The invariant: nobody is told that nothing was stored while a COMMIT that held the request may still take place, or
//! may have taken place. Only a look for the key under a lock that this COMMIT's transaction held ends the doubt.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use wallex_domain::Partition;

use super::Stages;
use super::request::{Reply, Request};

/// Takes the reply to a request as soon as there is one: the request's index, the reply, and how long the stages of the
/// transaction took that it was decided in.
pub type Take<'a> = &'a mut (dyn FnMut(usize, Reply, Option<Stages>) + Send);

/// Requests that share a transaction.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) indices: Vec<usize>,
    /// One of them is suspected: short time-outs.
    pub(super) suspect: bool,
    /// Heads that somebody has locked are passed over instead of waited for.
    pub(super) skip_locked: bool,
    /// It has been judged already: to be tried now.
    pub(super) alone: bool,
    /// All of them need this partition, which somebody has locked.
    pub(super) partition: Option<Partition>,
    /// When its trouble began.
    pub(super) since: Option<Instant>,
}

/// One call of the writer.
pub(super) struct Call<'a> {
    pub(super) requests: &'a [Request],
    pub(super) deadlines: &'a [Instant],
    pub(super) take: Take<'a>,
    /// Of requests whose COMMIT had no answer: the partitions that its transaction held.
    pub(super) doubts: HashMap<usize, Vec<BTreeSet<Partition>>>,
    pub(super) later: Vec<usize>,
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

    /// To be tried again with whatever comes next.
    pub(super) fn postpone(&mut self, index: usize) {
        if self.doubts.contains_key(&index) {
            self.answer(index, Reply::OutcomeUnknown, None);
        } else {
            self.later.push(index);
        }
    }

    /// Answers those of the group that do not go on beyond `now`.
    pub(super) fn give_up(&mut self, group: &mut Vec<usize>, now: Instant) {
        group.retain(|index| {
            let open = now < self.deadlines[*index];
            if !open {
                self.answer(*index, Reply::Unavailable, None);
            }
            open
        });
    }

    /// These were looked for under the locks of these partitions.
    pub(super) fn looked(&mut self, indices: &[usize], locked: &BTreeSet<Partition>) {
        if self.doubts.is_empty() {
            return;
        }
        for index in indices {
            if let Some(doubts) = self.doubts.get_mut(index) {
                doubts.retain(|held| held.is_disjoint(locked));
                if doubts.is_empty() {
                    self.doubts.remove(index);
                }
            }
        }
    }
}
