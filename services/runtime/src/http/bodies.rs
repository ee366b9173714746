//! Bodies in transit, in and out: the memory they hold, and the time they may take.
//!
//! The invariant: a body without room in the [`Memory`] is answered with 503, to be retried; nothing waits for room,
//! because those who hold it may never finish.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::Method;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::connections::Asking;
use super::memory::Memory;
use super::{Code, Problem};

/// Answers are handed over in pieces of this size, so that what a client has not taken stays counted. A piece is about as
/// large as a connection's buffer anyway.
const PIECE: usize = 16 * 1024;

/// Why a request is not answered by its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Its body did not arrive in time.
    Late,
    /// There is no room for its body.
    NoRoom,
}

/// A request and its answer, as shared by the layers that handle it. Clones are the same exchange.
#[derive(Clone)]
pub(super) struct Exchange(Arc<State>);

struct State {
    memory: Arc<Memory>,
    /// Room for the request's body; held until the answer is ready, because what was made from the body is.
    received: Mutex<Option<OwnedSemaphorePermit>>,
    refusal: OnceLock<Refusal>,
}

/// Room for an answer, from where it is measured to where it is sent.
#[derive(Clone)]
struct Room(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

impl Exchange {
    pub(super) fn new(memory: &Arc<Memory>) -> Self {
        Self(Arc::new(State {
            memory: Arc::clone(memory),
            received: Mutex::default(),
            refusal: OnceLock::new(),
        }))
    }

    /// Whether the request's body was refused, so that the rest of it may still be on its way.
    pub(super) fn was_refused(&self) -> bool {
        self.0.refusal.get().is_some()
    }

    fn receive(&self, bytes: usize) -> bool {
        let Some(more) = self.0.memory.receive(bytes) else {
            return self.refuse(Refusal::NoRoom);
        };
        let mut received = self.0.received.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *received {
            Some(room) => room.merge(more),
            None => *received = Some(more),
        }
        true
    }

    fn refuse(&self, refusal: Refusal) -> bool {
        // The first one counts.
        let _ = self.0.refusal.set(refusal);
        false
    }

    /// The answer that is sent: the handler's, unless the handler was told that the body broke off, or there is no room
    /// for the result of a read. A write is already done, so its answer is sent in any case; it is no larger than the
    /// request that was sent for it.
    pub(super) fn settle(&self, method: &Method, mut response: Response) -> Response {
        let problem = match self.0.refusal.get() {
            None => None,
            Some(Refusal::Late) => Some(Problem::of(Code::RequestTimeout)),
            Some(Refusal::NoRoom) => Some(Problem::unavailable(
                "This replica is receiving as much as it can hold; nothing was done. Send the request again.",
            )),
        };
        if let Some(problem) = problem {
            return problem.into_response();
        }
        // The number of connections bounds the small ones.
        if let Some(size) = response.body().size_hint().exact()
            && size > PIECE as u64
        {
            let room = usize::try_from(size)
                .ok()
                .and_then(|size| self.0.memory.send(size));
            match room {
                Some(room) => {
                    response.extensions_mut().insert(Room(Arc::new(room)));
                }
                None if !method.is_safe() => {}
                None => {
                    return Problem::unavailable(
                        "This replica is sending as much as it can hold; ask again, or for a shorter page.",
                    )
                    .into_response();
                }
            }
        }
        response
    }
}

/// A request's body. Errors are noted in the exchange, whatever the handler does with them.
pub(super) struct Received {
    body: Incoming,
    exchange: Exchange,
    begun: Instant,
    patience: Duration,
    /// Only for bodies that do not arrive at once.
    late: Option<Pin<Box<Sleep>>>,
}

/// The body was cut off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body did not arrive in time")]
    Late,
    #[error("there is no room for the body")]
    NoRoom,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl Received {
    pub(super) fn new(body: Incoming, exchange: Exchange, patience: Duration) -> Self {
        Self {
            body,
            exchange,
            begun: Instant::now(),
            patience,
            late: None,
        }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match pin!(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if bytes == 0 || self.exchange.receive(bytes) {
                    Poll::Ready(Some(Ok(frame)))
                } else {
                    Poll::Ready(Some(Err(BodyError::NoRoom)))
                }
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let until = self.begun + self.patience;
                let late = self
                    .late
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                ready!(late.as_mut().poll(context));
                self.exchange.refuse(Refusal::Late);
                Poll::Ready(Some(Err(BodyError::Late)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, in pieces. The request is in flight until this is dropped.
pub(super) struct Sent {
    body: Body,
    /// The rest of the last frame.
    left: Bytes,
    asking: Asking,
    /// A piece has been handed over, and is not known to be taken.
    offered: bool,
    _room: Option<Room>,
}

impl Sent {
    pub(super) fn of(response: Response, asking: Asking) -> http::Response<Self> {
        let (mut head, body) = response.into_parts();
        let room = head.extensions.remove::<Room>();
        let sent = Self {
            body,
            left: Bytes::new(),
            asking,
            offered: false,
            _room: room,
        };
        http::Response::from_parts(head, sent)
    }

    /// The next piece of the rest. A copy, unless it is the whole rest: a slice would keep the full frame in memory,
    /// uncounted, until it is taken.
    fn piece(&mut self) -> Bytes {
        let piece = if self.left.len() > PIECE {
            Bytes::copy_from_slice(&self.left.split_to(PIECE))
        } else {
            std::mem::take(&mut self.left)
        };
        self.asking.0.offer(piece.len());
        self.offered = true;
        piece
    }

    fn taken(&mut self) {
        if std::mem::take(&mut self.offered) {
            self.asking.0.taken();
        }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The next piece was requested, so the previous one is on its way.
        self.taken();
        if self.left.is_empty() {
            match ready!(pin!(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.left = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.piece();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.left.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(hint.lower() + left);
        hint
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.taken();
    }
}
