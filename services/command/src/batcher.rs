//! The bounded queue in front of the journal, and the writers that empty it. Batches form by themselves:
//! a writer takes what is waiting when it becomes free. There is no timer to tune.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use wallex_journal::append::{Config, Reply, Request, Stages, Work, Writer};
use wallex_journal::route::Routes;
use wallex_platform::trace::{self, SpanKind};

use crate::RENDER;
use crate::metrics::{CommandMetrics, named, outcome};

#[derive(Debug, Clone)]
pub struct BatcherConfig {
    /// Connections that append to the journal.
    pub writers: usize,
    /// Commands that wait at most. Many may come in one request.
    pub queue_capacity: usize,
    /// Commands that one batch takes at most, unless a single request has more.
    pub max_batch: usize,
    /// From arrival until a request is answered 503.
    pub timeout: Duration,
    pub journal: Config,
}

struct Waiting {
    request: Request,
    reply: oneshot::Sender<Reply>,
    since: Instant,
    _place: Place,
}

/// Counts the commands that wait, so that requests of many commands fill the queue as quickly as those of one.
#[derive(Clone)]
struct Admission {
    waiting: Arc<AtomicUsize>,
    capacity: usize,
}

/// Room for a request's commands, given back when it leaves the queue.
struct Place {
    waiting: Arc<AtomicUsize>,
    commands: usize,
}

impl Admission {
    /// `None` when the queue is full. An empty one takes any request.
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

/// The way into the queue. Clones share it.
#[derive(Clone)]
pub struct Enqueue {
    queue: async_channel::Sender<Waiting>,
    admission: Admission,
    timeout: Duration,
    metrics: Arc<CommandMetrics>,
}

/// The queue is full: answered at once, so that clients slow down instead of timing out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Enqueue {
    /// Waits for the journal's reply. `OutcomeUnknown` when none came in time: the request may still be
    /// committed, and a retry with the same key tells.
    pub(crate) async fn submit(&self, request: Request) -> Result<Reply, QueueFull> {
        let kind = match &request.work {
            Work::One(item) => item.command.kind(),
            Work::Batch { .. } => "batch",
        };
        let (reply, replied) = oneshot::channel();
        let admitted = self.admission.enter(request.work.items().len());
        let queued = admitted.and_then(|place| {
            let waiting = Waiting {
                request,
                reply,
                since: Instant::now(),
                _place: place,
            };
            self.queue.try_send(waiting).ok()
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

/// The writers, until [`Batcher::finish`].
pub struct Batcher {
    enqueue: Enqueue,
    writers: JoinSet<()>,
}

impl Batcher {
    pub fn start(options: &PgConnectOptions, config: &BatcherConfig) -> Self {
        // The admission is what bounds it.
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

    /// Takes no more, finishes what is waiting, and ends the writers.
    pub async fn finish(mut self) {
        self.enqueue.queue.close();
        while self.writers.join_next().await.is_some() {}
    }
}

/// A writer that panics is replaced: its batch is answered `OutcomeUnknown`, the queue goes on.
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

async fn write(
    mut writer: Writer,
    queue: async_channel::Receiver<Waiting>,
    config: BatcherConfig,
    metrics: Arc<CommandMetrics>,
) {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    while let Ok(first) = queue.recv().await {
        let mut oldest = first.since;
        let mut commands = 0;
        let mut next = Some(first);
        while let Some(waiting) = next {
            // Nobody waits any more: leaving it undone is the cheaper of two truths.
            if !waiting.reply.is_closed() {
                oldest = oldest.min(waiting.since);
                commands += waiting.request.work.items().len();
                requests.push(waiting.request);
                replies.push(waiting.reply);
            }
            next = (commands < config.max_batch)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        metrics.batch_size.observe(commands as f64);
        let taken = Instant::now();
        let replied = writer.append(&requests, oldest + config.timeout).await;
        if trace::is_on() {
            record_spans(&requests, &replied, taken, writer.stages);
        }
        for (reply, to) in replied.into_iter().zip(replies.drain(..)) {
            // Whoever gave up meanwhile asks again with the same key.
            let _ = to.send(reply);
        }
        metrics.observe(writer.stages);
        metrics.ran_again(writer.conflicts.drain(..));
        requests.clear();
    }
    writer.close().await;
}

/// A span for each sampled request of a batch that has just been answered. What it waited in the queue is the time
/// between its beginning and that of the span above it.
fn record_spans(requests: &[Request], replies: &[Reply], taken: Instant, stages: Stages) {
    let ended = Instant::now();
    for (request, reply) in requests.iter().zip(replies) {
        let traceparent = request.traceparent.as_deref();
        let name = || "journal.append".into();
        let Some(mut span) = trace::below(traceparent, name, SpanKind::Internal, taken) else {
            continue;
        };
        span.set(
            "wallex.batch.requests",
            i64::try_from(requests.len()).unwrap_or(i64::MAX),
        )
        .set("wallex.outcome", outcome(reply));
        // Otherwise the stages are not this batch's.
        if let Reply::Answered { .. } = reply {
            let mut end = ended;
            for (stage, took) in named(stages).into_iter().rev() {
                span.stage(stage, end, took);
                end = end.checked_sub(took).unwrap_or(end);
            }
        }
    }
}
