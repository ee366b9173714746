//! The bounded queue in front of the journal, and the writers that empty it. Batches form by themselves: a writer that
//! becomes free takes whatever is waiting. There is no timer to tune.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use wallex_journal::append::{Config, Reply, Request, Stages, Work, Writer};
use wallex_journal::route::Routes;
use wallex_runtime::trace::{self, SpanKind};

use crate::RENDER;
use crate::metrics::{CommandMetrics, outcome};

#[derive(Debug, Clone)]
pub struct BatcherConfig {
    /// Connections that append to the journal.
    pub writers: usize,
    /// Maximum number of waiting commands. One request may bring many.
    pub queue_capacity: usize,
    /// Maximum number of commands in one batch, unless a single request has more.
    pub max_batch: usize,
    /// Time from arrival until a request is answered with a 503.
    pub timeout: Duration,
    pub journal: Config,
}

struct Waiting {
    request: Request,
    caller: Caller,
}

/// The caller that waits for the reply to a request.
struct Caller {
    reply: oneshot::Sender<Reply>,
    since: Instant,
    _place: Place,
}

/// Counts waiting commands, so that large requests fill the queue as quickly as many small ones.
#[derive(Clone)]
struct Admission {
    waiting: Arc<AtomicUsize>,
    capacity: usize,
}

/// Queue space for a request's commands, released when the request leaves the queue.
struct Place {
    waiting: Arc<AtomicUsize>,
    commands: usize,
}

impl Admission {
    /// `None` when the queue is full. An empty queue accepts any request.
    fn enter(&self, commands: usize) -> Option<Place> {
        let before = self.waiting.fetch_add(commands, Ordering::Relaxed);
        let place = Place {
            waiting: self.waiting.clone(),
            commands,
        };
        (before == 0 || before + commands <= self.capacity).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.commands, Ordering::Relaxed);
    }
}

/// The entrance to the queue. Clones share it.
#[derive(Clone)]
pub struct Enqueue {
    queue: async_channel::Sender<Waiting>,
    admission: Admission,
    timeout: Duration,
    metrics: Arc<CommandMetrics>,
}

/// The queue is full. Answered at once, so that clients slow down instead of timing out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Enqueue {
    /// Waits for the journal's reply. `OutcomeUnknown` when none came in time: the request may still be committed, and a
    /// retry with the same key will tell.
    pub(crate) async fn submit(&self, request: Request) -> Result<Reply, QueueFull> {
        let kind = match &request.work {
            Work::One(item) => item.command.kind(),
            Work::Batch { .. } => "batch",
        };
        let (reply, replied) = oneshot::channel();
        let admitted = self.admission.enter(request.work.items().len());
        let queued = admitted.and_then(|place| {
            let caller = Caller {
                reply,
                since: Instant::now(),
                _place: place,
            };
            self.queue.try_send(Waiting { request, caller }).ok()
        });
        if queued.is_none() {
            self.metrics.turned_away(kind);
            return Err(QueueFull);
        }
        let reply = tokio::time::timeout(self.timeout, replied).await;
        let reply = reply.ok().and_then(Result::ok).unwrap_or(Reply::OutcomeUnknown);
        self.metrics.answered(kind, &reply);
        Ok(reply)
    }
}

/// Receives what is put into a queue without writers, for tests of what the routes ask of the journal.
#[cfg(test)]
pub(crate) struct Captured(async_channel::Receiver<Waiting>);

#[cfg(test)]
impl Captured {
    /// The last request put in; by then its caller has given up.
    pub(crate) fn take(&self) -> Option<Request> {
        self.0.try_recv().ok().map(|waiting| waiting.request)
    }
}

#[cfg(test)]
impl Enqueue {
    pub(crate) fn captured() -> (Self, Captured) {
        let (queue, captured) = async_channel::unbounded();
        let admission = Admission {
            waiting: Arc::default(),
            capacity: 1,
        };
        let enqueue = Self {
            queue,
            metrics: Arc::new(CommandMetrics::new(&admission.waiting)),
            admission,
            timeout: Duration::ZERO,
        };
        (enqueue, Captured(captured))
    }
}

/// The writers, until [`Batcher::finish`].
pub struct Batcher {
    enqueue: Enqueue,
    writers: JoinSet<()>,
}

impl Batcher {
    pub fn start(options: &PgConnectOptions, config: &BatcherConfig) -> Self {
        // Bounded by the admission.
        let (sender, receiver) = async_channel::unbounded();
        let admission = Admission {
            waiting: Arc::default(),
            capacity: config.queue_capacity,
        };
        let routes = Arc::new(Routes::default());
        let metrics = Arc::new(CommandMetrics::new(&admission.waiting));
        let mut writers = JoinSet::new();
        for _ in 0..config.writers.max(1) {
            let new_writer = {
                let (options, routes, journal) = (options.clone(), routes.clone(), config.journal.clone());
                move || Writer::new(options.clone(), routes.clone(), RENDER, journal.clone())
            };
            writers.spawn(keep_writing(
                new_writer,
                receiver.clone(),
                config.clone(),
                metrics.clone(),
            ));
        }
        Self {
            enqueue: Enqueue {
                queue: sender,
                admission,
                timeout: config.timeout,
                metrics,
            },
            writers,
        }
    }

    pub fn enqueue(&self) -> Enqueue {
        self.enqueue.clone()
    }

    /// Accepts nothing more, finishes what is waiting, and stops the writers.
    pub async fn finish(mut self) {
        self.enqueue.queue.close();
        while self.writers.join_next().await.is_some() {}
    }
}

/// Replaces a writer that panics: its batch is answered `OutcomeUnknown`, and the queue continues.
async fn keep_writing(
    new_writer: impl Fn() -> Writer + Send,
    queue: async_channel::Receiver<Waiting>,
    config: BatcherConfig,
    metrics: Arc<CommandMetrics>,
) {
    loop {
        let writing = tokio::spawn(write(
            new_writer(),
            queue.clone(),
            config.clone(),
            metrics.clone(),
        ));
        match writing.await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "a writer failed and is replaced"),
        }
    }
}

/// The share of the next batch that postponed commands may take: enough for them to make progress, and small enough that
/// many of them do not crowd out anyone else.
const PUT_OFF_SHARE: usize = 4;

async fn write(
    mut writer: Writer,
    queue: async_channel::Receiver<Waiting>,
    config: BatcherConfig,
    metrics: Arc<CommandMetrics>,
) {
    // Requests that the last batches could not decide, in order of arrival.
    let mut put_off: VecDeque<Waiting> = VecDeque::new();
    loop {
        let batch = next_batch(&queue, &mut put_off, config.max_batch).await;
        if batch.is_empty() {
            break;
        }
        let (requests, mut callers): (Vec<Request>, Vec<Option<Caller>>) = batch
            .into_iter()
            .map(|waiting| (waiting.request, Some(waiting.caller)))
            .unzip();
        let since = callers.iter().flatten().map(|caller| caller.since);
        let deadlines: Vec<Instant> = since.map(|since| since + config.timeout).collect();
        let commands: usize = requests.iter().map(|request| request.work.items().len()).sum();
        metrics.batch_size.observe(commands as f64);
        let taken = Instant::now();
        let mut answer = |index: usize, reply: Reply, stages: Option<Stages>| {
            if trace::is_on() {
                record_span(&requests[index], &reply, requests.len(), taken, stages);
            }
            if let Some(caller) = callers[index].take() {
                // A caller that has given up asks again with the same key.
                let _ = caller.reply.send(reply);
            }
        };
        let later = writer.append_each(&requests, &deadlines, &mut answer).await;
        for index in later {
            put_off.extend(callers[index].take().map(|caller| Waiting {
                request: requests[index].clone(),
                caller,
            }));
        }
        metrics.observe(writer.stages.drain(..));
        metrics.ran_again(writer.conflicts.drain(..));
        metrics.written(writer.paths.drain(..));
    }
    writer.close().await;
}

/// Postponed requests, as far as they fit, and then waiting ones. Empty when the queue is closed and nothing is left.
async fn next_batch(
    queue: &async_channel::Receiver<Waiting>,
    put_off: &mut VecDeque<Waiting>,
    max: usize,
) -> Vec<Waiting> {
    let mut batch = Vec::new();
    let mut commands = 0;
    let mut take = |waiting: Waiting| {
        // The caller has given up; skipping the command is safe because a retry carries the same key.
        if !waiting.caller.reply.is_closed() {
            // A batch whose commands were all refused has none left, but still needs an answer.
            commands += waiting.request.work.items().len().max(1);
            batch.push(waiting);
        }
        commands
    };
    let mut taken = 0;
    while taken < max.div_ceil(PUT_OFF_SHARE)
        && let Some(waiting) = put_off.pop_front()
    {
        taken = take(waiting);
    }
    while taken == 0
        && let Ok(first) = queue.recv().await
    {
        taken = take(first);
    }
    while taken < max
        && let Ok(waiting) = queue.try_recv()
    {
        taken = take(waiting);
    }
    batch
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
