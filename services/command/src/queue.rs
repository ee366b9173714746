//! The bounded queue in front of the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wallex_journal::append::{Reply, Request, Work};

use crate::metrics::CommandMetrics;

pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) caller: Caller,
}

/// The caller that waits for the reply to a request.
pub(crate) struct Caller {
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) since: Instant,
    _place: Place,
}

/// Counts waiting commands, so that large requests fill the queue as quickly as many small ones.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) capacity: usize,
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
    pub(crate) queue: async_channel::Sender<Waiting>,
    pub(crate) admission: Admission,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Arc<CommandMetrics>,
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
