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
use wallex_platform::metrics::{self, Histogram, HistogramVec, IntCounterVec, IntGauge};

use crate::RENDER;

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
            self.metrics
                .commands
                .with_label_values(&[kind, "queue_full"])
                .inc();
            return Err(QueueFull);
        }
        let reply = tokio::time::timeout(self.timeout, replied).await;
        let reply = reply.ok().and_then(Result::ok).unwrap_or(Reply::OutcomeUnknown);
        self.metrics
            .commands
            .with_label_values(&[kind, outcome(&reply)])
            .inc();
        Ok(reply)
    }
}

fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Reply::Answered { replayed: true, .. } => "replayed",
        Reply::Answered { answer, .. } if answer.status < 400 => "committed",
        Reply::Answered { .. } => "rejected",
        Reply::KeyReused => "key_reused",
        Reply::NotFound(_) => "not_found",
        Reply::Unavailable => "unavailable",
        Reply::OutcomeUnknown => "outcome_unknown",
        Reply::Failed => "failed",
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
        let metrics = Arc::new(CommandMetrics::new());
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
                admission.clone(),
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
    admission: Admission,
    metrics: Arc<CommandMetrics>,
) {
    loop {
        let writing = tokio::spawn(write(
            new_writer(),
            queue.clone(),
            config.clone(),
            admission.clone(),
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
    admission: Admission,
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
        metrics
            .queue_depth
            .set(i64::try_from(admission.waiting.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        metrics.batch_size.observe(commands as f64);
        for (reply, to) in writer
            .append(&requests, oldest + config.timeout)
            .await
            .into_iter()
            .zip(replies.drain(..))
        {
            // Whoever gave up meanwhile asks again with the same key.
            let _ = to.send(reply);
        }
        metrics.observe(writer.stages);
        requests.clear();
    }
    writer.close().await;
}

struct CommandMetrics {
    commands: IntCounterVec,
    queue_depth: IntGauge,
    batch_size: Histogram,
    stages: HistogramVec,
}

impl CommandMetrics {
    fn new() -> Self {
        Self {
            commands: metrics::counter_vec(
                "wallex_commands_total",
                "Commands by kind and outcome. unavailable, outcome_unknown or failed rising: PostgreSQL is in \
                 trouble, see /health/ready. queue_full rising: add command replicas or a faster disk.",
                &["command", "outcome"],
            ),
            queue_depth: metrics::gauge(
                "wallex_command_queue_depth",
                "Commands that wait for a writer. Near the capacity: commands are about to be answered 503.",
            ),
            batch_size: metrics::histogram(
                "wallex_batch_commands",
                "Commands per batch. Large batches mean load, not trouble.",
                metrics::SIZES,
            ),
            stages: metrics::histogram_vec(
                "wallex_batch_stage_duration_seconds",
                "Time per stage of a batch. lock: other writers hold the partitions. commit: the disk.",
                &["stage"],
                metrics::SECONDS,
            ),
        }
    }

    fn observe(&self, stages: Stages) {
        let Stages {
            route,
            lock,
            load,
            decide,
            write,
            commit,
        } = stages;
        for (stage, took) in [
            ("route", route),
            ("lock", lock),
            ("load", load),
            ("decide", decide),
            ("write", write),
            ("commit", commit),
        ] {
            self.stages
                .with_label_values(&[stage])
                .observe(took.as_secs_f64());
        }
    }
}
