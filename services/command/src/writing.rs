//! The writers' loop: batches form by themselves, as a writer that becomes free takes whatever is waiting. While a batch
//! is on its way to the database, the next one is decided and sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wallex_journal::append::{Reply, Request, Sent, Stages, WhyLocked, Writer};
use wallex_runtime::trace::{self, SpanKind};

use crate::metrics::{CommandMetrics, outcome};
use crate::queue::{Caller, Waiting};

/// The share of the next batch that postponed commands may take: enough for them to make progress, and small enough that
/// many of them do not crowd out anyone else.
const PUT_OFF_SHARE: usize = 4;

/// While a batch is on its way, the next one is decided and sent as soon as it would have this share of its commands, or
/// shortly before the database is expected to be done: so it never waits for this process, and batches stay large.
const NEXT_SHARE: usize = 2;

/// How long before: what deciding and sending take, and how late the runtime's clock may be.
const AHEAD: Duration = Duration::from_millis(2);

/// The fewest commands of such a next batch. A call of the procedure costs the database as much as writing some twenty
/// commands; fewer are quicker in one batch after the one on its way.
const NEXT_AT_LEAST: usize = 32;

/// Clients that were answered together ask again within a moment. After a batch, its successor waits for this share of
/// the requests that were answered, instead of leaving with the first of them alone and making all others wait for it.
const RETURNING: (usize, usize) = (7, 8);
/// How long it waits at most. (The runtime's clock makes it up to twice as long.) A batch takes about twice this time.
const RETURN_WITHIN: Duration = Duration::from_millis(1);

/// Requests that are written together, and who waits for them.
struct Batch {
    requests: Vec<Request>,
    callers: Vec<Option<Caller>>,
    deadlines: Vec<Instant>,
    taken: Instant,
}

impl Batch {
    fn of(waiting: Vec<Waiting>) -> Self {
        let (requests, callers): (Vec<Request>, Vec<Caller>) = waiting
            .into_iter()
            .map(|waiting| (waiting.request, waiting.caller))
            .unzip();
        Self {
            deadlines: callers.iter().map(|caller| caller.deadline).collect(),
            callers: callers.into_iter().map(Some).collect(),
            requests,
            taken: Instant::now(),
        }
    }

    fn commands(&self) -> usize {
        self.requests.iter().map(commands).sum()
    }
}

/// A batch whose commands were all refused has none left, but still needs an answer.
fn commands(request: &Request) -> usize {
    request.work.items().len().max(1)
}

/// A batch that was sent, or has to be written under locks.
struct Flying {
    batch: Batch,
    sent: Result<Sent, WhyLocked>,
}

/// How quick the database is: it writes one batch after the other, so a batch's time counts from the answer to the one
/// before, if that came later than it was taken itself.
struct Pace {
    per_command: Duration,
    /// When the last batch was answered.
    answered: Instant,
}

impl Pace {
    /// The share of a new measurement is an eighth.
    fn learn(&mut self, commands: usize, taken: Instant, now: Instant) {
        let took = (now - taken.max(self.answered)) / u32::try_from(commands).unwrap_or(u32::MAX).max(1);
        self.per_command = (self.per_command * 7 + took) / 8;
        self.answered = now;
    }

    /// When to send the next batch at the latest, so that it arrives before the database is done with so many commands.
    fn next_by(&self, commands: usize, taken: Instant) -> Instant {
        let took = self.per_command * u32::try_from(commands).unwrap_or(u32::MAX);
        taken.max(self.answered) + took.saturating_sub(AHEAD)
    }
}

/// Writes what is put into the queue until it is closed and empty. `max` is the most commands of a batch.
pub(crate) async fn write(
    mut writer: Writer,
    queue: async_channel::Receiver<Waiting>,
    max: usize,
    metrics: Arc<CommandMetrics>,
) {
    let mut line = Line {
        queue,
        put_off: VecDeque::new(),
        next: VecDeque::new(),
        returning: 0,
        pace: Pace {
            per_command: Duration::ZERO,
            answered: Instant::now(),
        },
        max,
    };
    let mut flying: Option<Flying> = None;
    loop {
        if let Some(Flying {
            batch,
            sent: Ok(sent),
        }) = &mut flying
            && !line.is_worth_sending_after(batch, sent).await
        {
            land(&mut writer, flying.take(), &mut line, &metrics).await;
        }
        let waiting = line.next_batch(flying.is_some()).await;
        if waiting.is_empty() {
            if flying.is_none() {
                break;
            }
            land(&mut writer, flying.take(), &mut line, &metrics).await;
            continue;
        }
        let batch = Batch::of(waiting);
        metrics.batch_size.observe(batch.commands() as f64);
        let mut sent = writer.send(&batch.requests, &batch.deadlines).await;
        if flying.is_some() {
            land(&mut writer, flying.take(), &mut line, &metrics).await;
            if sent.is_err() {
                sent = writer.send(&batch.requests, &batch.deadlines).await;
            }
        }
        let left = sent.is_err();
        flying = Some(Flying { batch, sent });
        if left {
            land(&mut writer, flying.take(), &mut line, &metrics).await;
        }
    }
    writer.close().await;
}

/// Waits for a batch and answers its callers.
async fn land(writer: &mut Writer, flying: Option<Flying>, line: &mut Line, metrics: &CommandMetrics) {
    let Some(Flying { mut batch, sent }) = flying else {
        return;
    };
    let (in_one_trip, commands) = (sent.is_ok(), batch.commands());
    let (requests, callers) = (&batch.requests, &mut batch.callers);
    let mut answer = |index: usize, reply: Reply, stages: Option<Stages>| {
        if trace::is_on() {
            record_span(&requests[index], &reply, requests.len(), batch.taken, stages);
        }
        if let Some(caller) = callers[index].take() {
            // A caller that has given up asks again with the same key.
            let _ = caller.reply.send(reply);
        }
    };
    let later = writer.land(sent, requests, &batch.deadlines, &mut answer).await;
    for index in later {
        line.put_off.extend(callers[index].take().map(|caller| Waiting {
            request: requests[index].clone(),
            caller,
        }));
    }
    line.returning = requests.len() * RETURNING.0 / RETURNING.1;
    if in_one_trip {
        line.pace.learn(commands, batch.taken, Instant::now());
    }
    metrics.observe(writer.stages.drain(..));
    metrics.ran_again(writer.conflicts.drain(..));
    metrics.written(writer.paths.drain(..));
}

/// What waits for a writer.
struct Line {
    queue: async_channel::Receiver<Waiting>,
    /// Requests that the last batches could not decide, in order of arrival.
    put_off: VecDeque<Waiting>,
    /// Taken out of the queue for the next batch.
    next: VecDeque<Waiting>,
    /// Requests to expect from clients that were just answered.
    returning: usize,
    pace: Pace,
    /// Of commands in a batch.
    max: usize,
}

impl Line {
    /// Waits until enough commands wait for a batch after this one that was sent, or until it is answered; returns whether
    /// the commands came first. Shortly before the answer is expected, the fewest possible are enough.
    async fn is_worth_sending_after(&mut self, batch: &Batch, sent: &mut Sent) -> bool {
        let answered = sent.answered();
        let soon = tokio::time::sleep_until(self.pace.next_by(batch.commands(), batch.taken).into());
        tokio::pin!(answered, soon);
        let mut least = batch.commands().div_ceil(NEXT_SHARE).max(NEXT_AT_LEAST);
        let mut waiting: usize = self.next.iter().map(|next| commands(&next.request)).sum();
        loop {
            while waiting < least
                && let Ok(next) = self.queue.try_recv()
            {
                waiting += commands(&next.request);
                self.next.push_back(next);
            }
            if waiting >= least {
                return true;
            }
            tokio::select! {
                biased;
                () = &mut answered => return false,
                () = &mut soon, if least > NEXT_AT_LEAST => least = NEXT_AT_LEAST,
                Ok(next) = self.queue.recv() => {
                    waiting += commands(&next.request);
                    self.next.push_back(next);
                }
            }
        }
    }

    /// From the first request on, waits a moment for the other clients that were just answered.
    async fn wait_for_returning(&mut self) {
        if self.next.is_empty()
            && let Ok(first) = self.queue.recv().await
        {
            self.next.push_back(first);
        }
        if self.next.len() + self.queue.len() >= self.returning {
            return;
        }
        let all = async {
            while self.next.len() < self.returning
                && let Ok(waiting) = self.queue.recv().await
            {
                self.next.push_back(waiting);
            }
        };
        let _ = tokio::time::timeout(RETURN_WITHIN, all).await;
    }

    /// Postponed requests, as far as they fit, and then waiting ones. Empty when the queue is closed and nothing is left,
    /// or if nothing waits and `now` is set.
    async fn next_batch(&mut self, now: bool) -> Vec<Waiting> {
        if !now && self.put_off.is_empty() {
            self.wait_for_returning().await;
        }
        let mut batch = Vec::new();
        let mut total = 0;
        let mut take = |waiting: Waiting| {
            // The caller has given up; skipping the command is safe because a retry carries the same key.
            if !waiting.caller.reply.is_closed() {
                total += commands(&waiting.request);
                batch.push(waiting);
            }
            total
        };
        let mut taken = 0;
        while taken < self.max.div_ceil(PUT_OFF_SHARE)
            && let Some(waiting) = self.put_off.pop_front()
        {
            taken = take(waiting);
        }
        while taken < self.max
            && let Some(waiting) = self.next.pop_front()
        {
            taken = take(waiting);
        }
        while taken == 0
            && !now
            && let Ok(first) = self.queue.recv().await
        {
            taken = take(first);
        }
        while taken < self.max
            && let Ok(waiting) = self.queue.try_recv()
        {
            taken = take(waiting);
        }
        batch
    }
}

/// Records the span of a request that has just been answered, if it is sampled. Its time in the queue is the time between
/// the start of the parent span and the start of this one.
fn record_span(request: &Request, reply: &Reply, requests: usize, taken: Instant, stages: Option<Stages>) {
    let traceparent = request.traceparent.as_deref();
    let name = || "journal.append".into();
    let Some(mut span) = trace::below(traceparent, name, SpanKind::Internal, taken) else {
        return;
    };
    span.set(
        "wallex.batch.requests",
        i64::try_from(requests).unwrap_or(i64::MAX),
    )
    .set("wallex.outcome", outcome(reply));
    let mut end = Instant::now();
    for (stage, took) in stages.into_iter().flat_map(Stages::named).rev() {
        span.stage(stage, end, took);
        end = end.checked_sub(took).unwrap_or(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_batch_is_sent_shortly_before_the_database_is_expected_to_be_done() {
        let answered = Instant::now();
        let mut pace = Pace {
            per_command: Duration::from_micros(100),
            answered,
        };
        let (before, after) = (
            answered - Duration::from_millis(5),
            answered + Duration::from_millis(5),
        );
        assert_eq!(
            pace.next_by(120, before),
            answered + Duration::from_millis(12) - AHEAD
        );
        assert_eq!(
            pace.next_by(120, after),
            after + Duration::from_millis(12) - AHEAD
        );
        // A batch that takes no longer than that is followed at once.
        assert_eq!(pace.next_by(10, before), answered);

        pace.learn(100, before, answered + Duration::from_millis(18));
        assert_eq!(
            pace.per_command,
            Duration::from_nanos((7 * 100_000 + 180_000) / 8)
        );
        assert_eq!(pace.answered, answered + Duration::from_millis(18));
        // Commands that were all refused take their time, too.
        pace.learn(0, before, answered + Duration::from_millis(19));
        assert_eq!(pace.answered, answered + Duration::from_millis(19));
    }
}
