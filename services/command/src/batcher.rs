//! The journal's writers behind the queue.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use wallex_journal::append::{Config, Writer};
use wallex_journal::route::Routes;

use crate::RENDER;
use crate::metrics::CommandMetrics;
use crate::queue::{Admission, Enqueue, Waiting};
use crate::writing::write;

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

/// The writers, until [`Batcher::finish`].
pub struct Batcher {
    enqueue: Enqueue,
    routes: Arc<Routes>,
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
                view: Arc::default(),
            },
            routes,
            writers,
        }
    }

    pub fn enqueue(&self) -> Enqueue {
        self.enqueue.clone()
    }

    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.clone()
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
            config.max_batch,
            config.timeout,
            metrics.clone(),
        ));
        match writing.await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "a writer failed and is replaced"),
        }
    }
}
