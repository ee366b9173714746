//! The bounded queue in front of the journal.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wallex_journal::append::{Reply, Request, Work};

use crate::admission::{Admission, Place};
use crate::handing::peer::{HandedOn, Peer};
use crate::handing::telling::Teller;
use crate::handing::view::{View, micros};
use crate::metrics::{CommandMetrics, HandingOutcome};

pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) caller: Caller,
}

/// The caller that waits for the reply to a request.
pub(crate) struct Caller {
    pub(crate) reply: ReplyTo,
    pub(crate) deadline: Instant,
    _place: Place,
}

/// Who gets the reply: a route of this process, or another process that has handed the request on.
pub(crate) enum ReplyTo {
    Route(oneshot::Sender<Reply>),
    Process(Teller),
}

impl ReplyTo {
    /// Returns the reply if nobody waits for it any more, as far as one can tell.
    pub(crate) fn send(self, reply: Reply) -> Result<(), Reply> {
        match self {
            Self::Route(caller) => caller.send(reply),
            Self::Process(teller) => {
                teller.tell(reply);
                Ok(())
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Route(caller) => caller.is_closed(),
            Self::Process(teller) => teller.is_closed(),
        }
    }
}

/// The entrance to the queue. Clones share it.
#[derive(Clone)]
pub struct Enqueue {
    pub(crate) queue: async_channel::Sender<Waiting>,
    /// Counts commands, so that large requests fill the queue as quickly as many small ones.
    pub(crate) admission: Admission,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Arc<CommandMetrics>,
    /// Which other processes write; unset where nothing is handed on.
    pub(crate) view: Arc<OnceLock<Arc<View>>>,
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
        let now = Instant::now();
        let deadline = now + self.timeout;
        let view = self.view.get();
        let other = view.and_then(|view| Some((view, view.writer_of(&request, now)?)));
        let reply = match other {
            None => self.write_here(request, deadline).await,
            Some((view, peer)) => self.hand_on(view, &peer, request, now, deadline).await,
        };
        match &reply {
            Ok(reply) => self.metrics.answered(kind, reply),
            Err(QueueFull) => self.metrics.turned_away(kind),
        }
        reply
    }

    async fn write_here(&self, request: Request, deadline: Instant) -> Result<Reply, QueueFull> {
        let (reply, replied) = oneshot::channel();
        let queued = self.put(request, ReplyTo::Route(reply), deadline);
        queued.map_err(|_| QueueFull)?;
        let reply = tokio::time::timeout_at(deadline.into(), replied).await;
        Ok(reply.ok().and_then(Result::ok).unwrap_or(Reply::OutcomeUnknown))
    }

    /// Puts a request into this process's queue, to be answered by the deadline. Gives `reply` back if the queue is full.
    pub(crate) fn put(&self, request: Request, reply: ReplyTo, deadline: Instant) -> Result<(), ReplyTo> {
        let Some(place) = self.admission.enter(request.work.items().len()) else {
            return Err(reply);
        };
        let caller = Caller {
            reply,
            deadline,
            _place: place,
        };
        let queued = self.queue.try_send(Waiting { request, caller });
        queued.map_err(|full| full.into_inner().caller.reply)
    }

    /// Hands a request on, and writes it here if nothing comes of that.
    async fn hand_on(
        &self,
        view: &View,
        peer: &Peer,
        request: Request,
        now: Instant,
        deadline: Instant,
    ) -> Result<Reply, QueueFull> {
        let outcome = |label| self.metrics.handed_on(label);
        if peer.is_avoided() {
            outcome(HandingOutcome::Avoided);
            return self.write_here(request, deadline).await;
        }
        let clock = view.clock(now);
        let became =
            clock.and_then(|clock| peer.hand_on(&request, clock.saturating_add(micros(self.timeout))));
        let Some(became) = became else {
            outcome(HandingOutcome::Refused);
            return self.write_here(request, deadline).await;
        };
        let became = tokio::time::timeout_at(deadline.into(), became).await;
        let (label, may_have_it) = match became {
            Ok(Ok(HandedOn::Replied(reply))) => {
                outcome(HandingOutcome::Answered);
                if let Reply::Answered { answer, .. } = &reply {
                    view.learn_routes(&request, answer);
                }
                return Ok(reply);
            }
            Err(_) => {
                outcome(HandingOutcome::Late);
                return Ok(Reply::OutcomeUnknown);
            }
            Ok(Ok(HandedOn::Refused)) => (HandingOutcome::Refused, false),
            Ok(Ok(HandedOn::Unreachable)) => (HandingOutcome::Unreachable, false),
            Ok(Ok(HandedOn::Slow)) => (HandingOutcome::Slow, true),
            // The second is a defect: whoever was to tell has ended.
            Ok(Ok(HandedOn::Broken) | Err(_)) => (HandingOutcome::Broken, true),
        };
        outcome(label);
        let reply = self.write_here(request, deadline).await;
        if may_have_it { after_a_doubt(reply) } else { reply }
    }
}

/// The reply to a request that another process may have, and may write later. Once an answer is stored under the key,
/// that finds it; anything else says nothing of what the other one does.
fn after_a_doubt(reply: Result<Reply, QueueFull>) -> Result<Reply, QueueFull> {
    match reply {
        Ok(reply @ (Reply::Answered { .. } | Reply::KeyReused)) => Ok(reply),
        Ok(Reply::NotFound(_) | Reply::Unavailable | Reply::OutcomeUnknown | Reply::Failed)
        | Err(QueueFull) => Ok(Reply::OutcomeUnknown),
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
        let admission = Admission::new(1);
        let enqueue = Self {
            queue,
            metrics: Arc::new(CommandMetrics::new(&admission.waiting)),
            admission,
            timeout: Duration::ZERO,
            view: Arc::default(),
        };
        (enqueue, Captured(captured))
    }
}
