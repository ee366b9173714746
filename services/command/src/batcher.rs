//! The journal's writers behind the queue.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;
use wallex_journal::append::{Config, Writer};
use wallex_journal::route::Routes;

use crate::RENDER;
use crate::admission::Admission;
use crate::metrics::CommandMetrics;
use crate::queue::{Enqueue, Waiting};
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
    /// Each ends with its writer.
    writers: Vec<oneshot::Receiver<()>>,
}

impl Batcher {
    /// Fails if the system gives no thread for a writer.
    pub fn start(options: &PgConnectOptions, config: &BatcherConfig) -> io::Result<Self> {
        // Bounded by the admission.
        let (sender, receiver) = async_channel::unbounded();
        let admission = Admission::new(config.queue_capacity);
        let routes = Arc::new(Routes::default());
        let metrics = Arc::new(CommandMetrics::new(&admission.waiting));
        let writers = (0..config.writers.max(1)).map(|_| {
            let new_writer = {
                let (options, routes, journal) = (options.clone(), routes.clone(), config.journal.clone());
                move || Writer::new(options.clone(), routes.clone(), RENDER, journal.clone())
            };
            on_a_thread(keep_writing(
                new_writer,
                receiver.clone(),
                config.max_batch,
                metrics.clone(),
            ))
        });
        let writers = writers.collect::<io::Result<_>>()?;
        Ok(Self {
            enqueue: Enqueue {
                queue: sender,
                admission,
                timeout: config.timeout,
                metrics,
                view: Arc::default(),
            },
            routes,
            writers,
        })
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
        for writer in std::mem::take(&mut self.writers) {
            // It fails when the writer has ended, which is what this waits for.
            let _ = writer.await;
        }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.enqueue.queue.close();
    }
}

/// Runs a writer on a thread of its own: it is what everybody waits for, and among the tasks of hundreds of connections
/// its turn would come milliseconds after the database's answer.
fn on_a_thread(writing: impl Future<Output = ()> + Send + 'static) -> io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new().name("wallex-writer".to_owned());
    thread.spawn(move || {
        runtime.block_on(writing);
        drop(ended);
    })?;
    Ok(end)
}

/// Replaces a writer that panics: its batch is answered `OutcomeUnknown`, and the queue continues.
async fn keep_writing(
    new_writer: impl Fn() -> Writer + Send,
    queue: async_channel::Receiver<Waiting>,
    max_batch: usize,
    metrics: Arc<CommandMetrics>,
) {
    loop {
        let writing = tokio::spawn(write(new_writer(), queue.clone(), max_batch, metrics.clone()));
        match writing.await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "a writer failed and is replaced"),
        }
    }
}
