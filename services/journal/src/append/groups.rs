//! From requests to replies: groups that share a transaction are tried until each request has its reply.
//!
//! The invariant: every request of a call is answered, or returned to be tried in a later one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use wallex_domain::WalletId;

use super::aside::{Finding, Scope};
use super::call::{Call, Group, Take};
use super::divide::Divided;
use super::outcome::Staged;
use super::request::{Reply, Request};
use super::setback::{Refusal, Setback, Why};
use super::{Conflict, Stages, Writer};

/// Between tries while the server is in trouble.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(LONGEST_PAUSE)
    .without_max_times();
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How often a request may turn out to be misrouted before it is abandoned. Twice is a partition that closed and a
/// wallet that appeared meanwhile; more is a journal that changes under our feet.
const MAX_MISROUTES: usize = 4;

impl Writer {
    /// Appends a batch and returns a reply for each request, in order. Retries after failures until `deadline`;
    /// requests still open then are answered `Unavailable`, or `OutcomeUnknown` if they may have been committed.
    pub async fn append(&mut self, requests: &[Request], deadline: Instant) -> Vec<Reply> {
        let mut replies: Vec<Option<Reply>> = vec![None; requests.len()];
        let mut open: Vec<usize> = (0..requests.len()).collect();
        while !open.is_empty() {
            let batch: Vec<Request> = open.iter().map(|index| requests[*index].clone()).collect();
            let mut take = |index: usize, reply: Reply, _: Option<Stages>| replies[open[index]] = Some(reply);
            let later = self
                .append_each(&batch, &vec![deadline; batch.len()], &mut take)
                .await;
            open = later.into_iter().map(|index| open[index]).collect();
        }
        replies
            .into_iter()
            .map(|reply| reply.unwrap_or(Reply::Failed))
            .collect()
    }

    /// Appends a batch. Passes each request's reply to `take`, by its own deadline, and returns the indices of those
    /// that cannot be decided yet and must be tried again in a later batch. Nothing was done for them.
    pub async fn append_each(
        &mut self,
        requests: &[Request],
        deadlines: &[Instant],
        take: Take<'_>,
    ) -> Vec<usize> {
        let mut call = Call {
            requests,
            deadlines,
            take,
            doubts: HashMap::new(),
            later: Vec::new(),
        };
        self.aside.start_call();
        let all = Group {
            indices: (0..requests.len()).collect(),
            ..Group::default()
        };
        let mut groups = VecDeque::from([all]);
        while let Some(mut group) = groups.pop_front() {
            call.give_up(&mut group.indices, Instant::now());
            let next = self.append_group(&mut call, group, &mut groups).await;
            for group in next.into_iter().rev() {
                groups.push_front(group);
            }
        }
        call.later
    }

    /// Works on one group until every request has a reply or is postponed, or returns the groups to continue with.
    /// Requests to try alone go to the end of `groups`.
    async fn append_group(
        &mut self,
        call: &mut Call<'_>,
        mut group: Group,
        groups: &mut VecDeque<Group>,
    ) -> Vec<Group> {
        let mut refusals = 0;
        let mut misroutes = 0;
        let mut look_up: HashSet<WalletId> = HashSet::new();
        let mut pauses = PAUSES.build();
        while !group.indices.is_empty() {
            let began = Instant::now();
            let attempted = self.attempt(call.requests, &group, &look_up).await;
            call.looked(&self.trace.looked, &self.trace.locked);
            if let Err(setback) = &attempted {
                self.conflicts.push(setback.conflict());
            }
            match attempted {
                Ok(outcome) => {
                    let indices = std::mem::take(&mut group.indices);
                    let passed_over = |(_, staged): &(usize, Staged)| matches!(staged, Staged::Locked(_));
                    if group.alone
                        && !outcome.staged.iter().any(passed_over)
                        && let [index] = indices[..]
                    {
                        self.went_through(index);
                    }
                    for (index, staged) in outcome.staged {
                        match staged {
                            Staged::Reply(reply) => call.answer(index, reply, outcome.stages),
                            Staged::Misrouted(_) if misroutes >= MAX_MISROUTES => {
                                call.answer(index, Reply::Unavailable, None);
                            }
                            Staged::Misrouted(wallet) => {
                                self.routes.forget(wallet);
                                look_up.insert(wallet);
                                group.indices.push(index);
                            }
                            Staged::Later => call.postpone(index),
                            Staged::Alone => groups.push_back(Group {
                                indices: vec![index],
                                suspect: true,
                                skip_locked: true,
                                alone: true,
                                ..Group::default()
                            }),
                            Staged::Locked(wallet) => {
                                let scope = Scope::Wallets(vec![wallet]);
                                let since = group.since.unwrap_or(began);
                                let took = began.elapsed();
                                self.blame(call, &[index], scope, since, took).await;
                            }
                        }
                    }
                    if !group.indices.is_empty() {
                        misroutes += 1;
                        self.conflicts.push(Conflict::Misrouted);
                        self.open_since = None;
                    }
                    continue;
                }
                Err(Setback::Refused(refusal)) => {
                    refusals += 1;
                    tracing::debug!(error = %refusal.error, refusals, requests = group.indices.len(), "batch refused");
                    let since = *group.since.get_or_insert(began);
                    call.give_up(&mut group.indices, Instant::now());
                    if group.indices.is_empty() {
                        return Vec::new();
                    }
                    let [alone] = group.indices[..] else {
                        match self.divide(&mut group, &refusal, refusals).await {
                            Divided::Again => continue,
                            Divided::Into(parts) => return parts,
                            Divided::Blame(scope) => {
                                let took = began.elapsed();
                                self.blame(call, &group.indices, scope, since, took).await;
                                return Vec::new();
                            }
                        }
                    };
                    let tries = match refusal.why {
                        Why::Serialization | Why::Constraint => 4,
                        Why::Content => 2,
                        Why::Partition | Why::Lock | Why::Slow => 1,
                    };
                    if refusals >= tries {
                        self.refused_alone(call, alone, &refusal, since, began.elapsed())
                            .await;
                        return Vec::new();
                    }
                    continue;
                }
                Err(Setback::Unknown(error)) => {
                    for index in &group.indices {
                        let doubts = call.doubts.entry(*index).or_default();
                        doubts.push(self.trace.locked.clone());
                    }
                    tracing::warn!(%error, "the outcome of a commit is unknown: checking it under the same locks");
                }
                Err(Setback::Clock { lead }) => tracing::error!(
                    seconds = lead.as_secs(),
                    "the database's clock is ahead of this process's: nothing is written until they agree"
                ),
                Err(Setback::Trouble(error)) => {
                    tracing::warn!(%error, "a batch could not be written: trying again");
                }
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            call.give_up(&mut group.indices, Instant::now() + pause);
            if !group.indices.is_empty() {
                tokio::time::sleep(pause).await;
            }
        }
        Vec::new()
    }

    /// A request in a transaction of its own was refused as often as allowed.
    async fn refused_alone(
        &mut self,
        call: &mut Call<'_>,
        index: usize,
        refusal: &Refusal,
        since: Instant,
        took: Duration,
    ) {
        let scope = match refusal.why {
            Why::Partition => match self.locked_partitions().await[..] {
                [partition] => Some(Scope::Partition(partition)),
                _ => self.trace.route_of(index).map(Scope::of),
            },
            Why::Serialization | Why::Constraint | Why::Content | Why::Lock | Why::Slow => {
                self.trace.route_of(index).map(Scope::of)
            }
        };
        match (refusal.why, scope) {
            (Why::Partition | Why::Lock | Why::Slow, Some(scope)) => {
                self.blame(call, &[index], scope, since, took).await;
            }
            // It could not even be routed.
            (Why::Partition | Why::Lock | Why::Slow, None) => self.pause(call, index).await,
            (Why::Serialization | Why::Constraint | Why::Content, scope) => {
                tracing::error!(error = %refusal.error, "the database refused a request repeatedly");
                let finding = scope.map(|scope| self.aside.failed(scope, Reply::Failed, since, took));
                match finding {
                    Some(Finding::Server) => self.pause(call, index).await,
                    Some(Finding::Culprit | Finding::Suspect) | None => {
                        call.answer(index, Reply::Failed, None);
                    }
                }
            }
        }
    }

    /// Requests of this scope, in a transaction of their own, waited in vain.
    async fn blame(
        &mut self,
        call: &mut Call<'_>,
        indices: &[usize],
        scope: Scope,
        since: Instant,
        took: Duration,
    ) {
        match self.aside.failed(scope.clone(), Reply::Unavailable, since, took) {
            Finding::Culprit => {
                tracing::warn!(
                    ?scope,
                    "writes time out waiting for somebody's lock: set aside, others continue"
                );
                for index in indices {
                    call.answer(*index, Reply::Unavailable, None);
                }
            }
            Finding::Suspect => indices.iter().for_each(|index| call.postpone(*index)),
            Finding::Server => {
                for index in indices {
                    self.pause(call, *index).await;
                }
            }
        }
    }

    /// The server as a whole is in trouble: slow down.
    async fn pause(&mut self, call: &mut Call<'_>, index: usize) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        call.postpone(index);
    }

    fn went_through(&mut self, index: usize) {
        if let Some(routed) = self.trace.route_of(index) {
            self.aside.cleared(routed);
        }
    }
}
