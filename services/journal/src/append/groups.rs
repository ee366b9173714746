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
use super::landing::Landed;
use super::one_trip::Sent;
use super::outcome::Staged;
use super::request::{Reply, Request};
use super::setback::{Refusal, Setback, Why};
use super::{Conflict, Path, Stages, WhyLocked, Writer};

/// Between tries while the server is in trouble.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_delay(LONGEST_PAUSE)
    .without_max_times();
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How often a request may turn out to be misrouted before it is abandoned. Twice is a partition that closed and a
/// wallet that appeared meanwhile; more is a journal that changes under our feet.
const MAX_MISROUTES: usize = 4;

const UNKNOWN: &str = "the outcome of a commit is unknown: checking it under the same locks";

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
        let sent = self.send(requests, deadlines).await;
        self.land(sent, requests, deadlines, take).await
    }

    /// The first half of [`Self::append_each`]: decides a batch on what is remembered and sends it, without waiting for
    /// the outcome. Meanwhile the next batch may be sent. Every batch must be passed to [`Self::land`], in order. After an
    /// error nothing was sent; while other batches are on their way, sending may succeed once those have landed.
    pub async fn send(&mut self, requests: &[Request], deadlines: &[Instant]) -> Result<Sent, WhyLocked> {
        self.aside.start_call();
        let now = Instant::now();
        let open = (0..requests.len()).filter(|index| now < deadlines[*index]);
        self.send_each(requests, open.collect()).await
    }

    /// The second half: waits for the outcome, and writes under locks what was not written in one trip.
    pub async fn land(
        &mut self,
        sent: Result<Sent, WhyLocked>,
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
            why: WhyLocked::Again,
        };
        let mut groups = self.landed_groups(&mut call, sent).await;
        while let Some(mut group) = groups.pop_front() {
            call.give_up(&mut group.indices, Instant::now());
            let next = self.append_group(&mut call, group, &mut groups).await;
            for group in next.into_iter().rev() {
                groups.push_front(group);
            }
        }
        call.later
    }

    /// Answers what was written in one trip; returns what has to be written under locks.
    async fn landed_groups(&mut self, call: &mut Call<'_>, sent: Result<Sent, WhyLocked>) -> VecDeque<Group> {
        let mut groups = VecDeque::new();
        let mut sent = sent;
        let mut open: Vec<usize> = (0..call.requests.len()).collect();
        if let Ok(sent) = &sent {
            // The deadline of the others passed before.
            open.retain(|index| !sent.indices.contains(index));
            call.give_up(&mut open, Instant::now());
            open.clone_from(&sent.indices);
        }
        loop {
            let landed = match sent {
                Ok(sent) => self.land_each(sent).await,
                Err(why) => Landed::Left(why, HashSet::new()),
            };
            match landed {
                Landed::Done(staged, stages) => {
                    for (index, staged) in staged {
                        match staged {
                            Staged::Reply(reply) => call.answer(index, reply, stages),
                            Staged::Alone => groups.push_back(Group::alone(index)),
                            // Not decided: to be tried again.
                            Staged::Later | Staged::Misrouted(_) | Staged::Locked(_) => call.postpone(index),
                        }
                    }
                    return groups;
                }
                Landed::Left(why, answered) if answered.is_empty() => call.why = why,
                // Only these: their neighbours are sent again.
                Landed::Left(why, answered) => {
                    call.why = why;
                    let is_answered = |index: &usize| {
                        let request = &call.requests[*index];
                        let key = request.key.clone().map(|key| (request.caller.clone(), key));
                        key.is_some_and(|key| answered.contains(&key))
                    };
                    let (answered, others): (Vec<_>, Vec<_>) = open.into_iter().partition(is_answered);
                    groups.push_back(Group {
                        indices: answered,
                        ..Group::default()
                    });
                    open = others;
                    if open.is_empty() {
                        return groups;
                    }
                    sent = self.send_each(call.requests, open.clone()).await;
                    continue;
                }
                Landed::Failed(setback, held, until) => {
                    self.conflicts.push(setback.conflict());
                    if let Setback::Unknown(error) = setback {
                        call.doubt(&open, &held.into_iter().collect(), until);
                        tracing::warn!(%error, "{UNKNOWN}");
                    }
                }
            }
            groups.push_back(Group {
                indices: open,
                ..Group::default()
            });
            // Whoever was to try what is set aside has not tried it.
            self.aside.start_call();
            return groups;
        }
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
            call.looked(&self.trace.looked, &self.trace.locked, began);
            if let Err(setback) = &attempted {
                self.conflicts.push(setback.conflict());
            }
            match attempted {
                Ok(outcome) => {
                    if outcome.stages.is_some() {
                        self.paths.push(Path::Locked(call.why));
                    }
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
                            Staged::Alone => groups.push_back(Group::alone(index)),
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
                    call.doubt(&group.indices, &self.trace.locked, began);
                    tracing::warn!(%error, "{UNKNOWN}");
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
