//! One client's connection: its protocol and buffers, its requests one by one, and its end.
//!
//! The invariant: whatever ends the connection, a request that has begun is answered first, unless the client does not
//! take the answer.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::super::bodies::{Exchange, Received, Sent};
use super::super::connections::{Asking, Reason, Seat};
use super::super::watched::Watched;
use super::super::{Code, Problem, health, log_level};

/// Silent HTTP/2 connections are pinged, so that those of vanished clients end.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Whatever was sent before the listener closed has arrived by then: no local network is slower.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(100);
/// Maximum that a connection buffers of heads and answers. The library's own limit is 400 kB, which a few thousand clients
/// could fill with garbage.
const BUFFER: usize = 32 * 1024;
/// Requests that an HTTP/2 client may have in flight on one connection.
const STREAMS: u32 = 100;
/// What an HTTP/2 client may send ahead: per request, and on a connection in total.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// What connections are told about the shutdown.
#[derive(Default)]
pub(super) struct Farewell {
    /// The same as `leaving`, without the token's lock: every answer checks it.
    begun: AtomicBool,
    /// Clients are asked to leave.
    leaving: CancellationToken,
    /// Connections without a request in flight are closed.
    pub(super) closed: CancellationToken,
}

impl Farewell {
    pub(super) fn leave(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.leaving.cancel();
    }
}

/// Serves one client until its connection ends or must end.
pub(super) async fn connection(stream: TcpStream, seat: Seat, app: Router, farewell: Arc<Farewell>) {
    // Answers are small and complete: waiting to fill a packet would only add latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut server = auto::Builder::new(TokioExecutor::new());
    // The seat has the deadline for heads: it sees bytes even before the protocol is known.
    server.http1().header_read_timeout(None).max_buf_size(BUFFER);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER);
    let is_local = stream
        .peer_addr()
        .is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
    let service = {
        let (app, farewell) = (TowerToHyperService::new(app), Arc::clone(&farewell));
        let (memory, patience) = (Arc::clone(seat.memory()), seat.patience());
        let client = Arc::clone(&seat.connection);
        service_fn(move |request: Request<Incoming>| {
            let http2 = request.version() >= Version::HTTP_2;
            let asking = Asking::begin(&client, http2);
            let exchange = Exchange::new(&memory);
            let (farewell, refused) = (Arc::clone(&farewell), exchange.clone());
            let is_spare = client.is_spare();
            let strange = (!http2).then(|| strange_coding(request.headers())).flatten();
            // On the reserved connections only operational requests are answered.
            let is_strange = strange.is_some();
            let refusal = if is_spare && !health::is_operational(request.uri().path()) {
                Reason::Refused.count();
                Some(Problem::unavailable(
                    "This replica has no connection to spare; try another one.",
                ))
            } else {
                strange
            };
            let answer = if refusal.is_some() {
                None
            } else {
                let (mut head, body) = request.into_parts();
                if is_local {
                    head.extensions.insert(log_level::Local);
                }
                head.extensions.insert(exchange.clone());
                let body = Received::new(body, exchange, patience.body);
                Some(app.call(Request::from_parts(head, body)))
            };
            async move {
                let mut response = match answer {
                    Some(answer) => answer.await?,
                    None => refusal.unwrap_or_else(Problem::internal).into_response(),
                };
                let is_last =
                    is_spare || is_strange || refused.was_refused() || farewell.begun.load(Ordering::Relaxed);
                // hyper closes after such an answer; HTTP/2 has no such header.
                if !http2 && is_last {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, std::convert::Infallible>(Sent::of(response, asking))
            }
        })
    };
    let stream = Watched::new(stream, Arc::clone(&seat.connection));
    let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let leaving = async {
        farewell.leaving.cancelled().await;
        // GOAWAY loses nothing (RFC 9113, 6.8). An idle HTTP/1 connection can only be closed, which would lose a
        // request on its way: such connections stay until there is most likely none.
        if !seat.connection.is_http2() {
            farewell.closed.cancelled().await;
        }
    };
    let mut leaving = pin!(leaving);
    let mut is_leaving = false;
    let mut overdue = pin!(seat.overdue());
    let ended = loop {
        tokio::select! {
            // Read what has arrived before checking for the end.
            biased;
            ended = connection.as_mut() => break ended,
            () = leaving.as_mut(), if !is_leaving => {
                is_leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            reason = overdue.as_mut() => {
                reason.count();
                tracing::debug!(?reason, "a connection is closed");
                connection.as_mut().graceful_shutdown();
                // A displaced connection holds up others. One poll has sent its farewell.
                let first = if seat.connection.is_gone() { Duration::ZERO } else { LAST_LOOK };
                if tokio::time::timeout(first, connection.as_mut()).await.is_ok() || !seat.connection.is_busy() {
                    return;
                }
                match reason {
                    // Answer a request that came at the last moment, as long as the client takes the answer.
                    Reason::Idle | Reason::HeadLate => tokio::select! {
                        _ = connection.as_mut() => {}
                        _ = seat.overdue() => {}
                    },
                    // Only a probe's answer or a refusal is left to be sent: no handler is interrupted.
                    Reason::Displaced | Reason::AnswerNotTaken | Reason::Refused => {
                        let _ = tokio::time::timeout(LAST_LOOK, connection.as_mut()).await;
                    }
                }
                return;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection ended");
    }
}

/// hyper ignores other codings in front of a final chunked coding. Read that way, the body would not be what the client
/// sent (RFC 9112, 6.1).
fn strange_coding(headers: &HeaderMap) -> Option<Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().flat_map(|value| {
        let codings = value.as_bytes().split(|byte| *byte == b',');
        codings
            .map(<[u8]>::trim_ascii)
            .filter(|coding| !coding.is_empty())
    });
    let first = codings.next()?;
    if first.eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
        return None;
    }
    Some(Problem::of(Code::TransferEncodingUnsupported))
}
