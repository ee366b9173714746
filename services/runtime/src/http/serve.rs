//! The server: HTTP/1.1 and HTTP/2 on one port, a farewell to clients and a drain at the end.
//!
//! Its invariant: a request that was begun is answered, unless the drain's time is over. The end goes in
//! this order, so that clients leave before they are cut off:
//!
//! 1. readiness is 503; answers over HTTP/1 say `Connection: close`, connections of HTTP/2 get GOAWAY. New connections
//!    are still taken, for [`Ending::grace`]: whoever balances load learns of the end only now.
//! 2. The listener is closed, and what waited at it is taken in.
//! 3. After [`LAST_LOOK`], connections on which nothing is asked are closed, and the requests in flight are awaited.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use super::bodies::{Exchange, Received, Sent};
use super::connections::{Asking, Connections, Reason, Seat};
use super::limits::Limits;
use super::observe::{Observe, in_flight};
use super::watched::Watched;
use super::{Code, Problem, health, log_level};
use crate::health::Health;
use crate::settings::Settings;

/// HTTP/2 connections are pinged when silent, so that those of vanished clients end.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Waited when a connection can't be accepted (too many open files): trying again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What was sent before the listener closed is here by then: a longer way is no local network's.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// What a connection buffers of heads and answers at most. The library's own bound is 400 kB, which a few thousand clients
/// could fill with nothing.
const BUFFER: usize = 32 * 1024;
/// Requests that a client of HTTP/2 may have in flight on one connection.
const STREAMS: u32 = 100;
/// What a client of HTTP/2 may send ahead: per request, and on a connection altogether.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What the kernel buffers of answers, per connection. By itself it takes up to 4 MiB from an answer that nobody reads, and
/// a pod's memory limit counts that.
const SEND_BUFFER: u32 = 256 * 1024;
/// Connections that wait in the kernel to be taken.
const BACKLOG: u32 = 1024;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {listen} (setting listen, WALLEX_LISTEN): {source}")]
    Bind {
        listen: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// How long the end may take.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// For so long new connections are taken although readiness says no.
    pub grace: Duration,
    /// From the beginning of the end until requests are left unanswered; `grace` is part of it.
    pub limit: Duration,
}

impl Ending {
    /// Of a server that clients are led to.
    pub fn of(settings: &Settings) -> Self {
        Self {
            grace: settings.shutdown_grace_seconds,
            limit: settings.drain(),
        }
    }

    /// Of a server that only answers about itself: nobody has to be led away from it.
    pub fn without_grace(settings: &Settings) -> Self {
        Self {
            grace: Duration::ZERO,
            ..Self::of(settings)
        }
    }
}

/// Serves `app` and the routes of [`router`] on `listen` until `shutdown` is cancelled and the [`Ending`] is over.
pub async fn serve(
    listen: SocketAddr,
    app: Router,
    health: Health,
    shutdown: CancellationToken,
    ending: Ending,
    limits: Limits,
) -> Result<(), ServeError> {
    serve_on(bind(listen).await?, app, health, shutdown, ending, limits).await;
    Ok(())
}

/// [`serve`] for a role that has to wait before it can serve: until `starting` yields the app, health and metrics
/// answer and everything else is told to come back, so that waiting for a database never looks like a dead process.
pub async fn serve_starting<E: From<ServeError>>(
    listen: SocketAddr,
    starting: impl Future<Output = Result<Router, E>>,
    health: Health,
    shutdown: CancellationToken,
    ending: Ending,
    limits: Limits,
) -> Result<(), E> {
    let listener = bind(listen).await?;
    let connections = Connections::new(limits);
    // Ready before any check is registered would be ready too early.
    let check = health.check("start");
    let farewell = Arc::new(Farewell::default());
    let starting_up = async || Problem::unavailable("This replica is starting; see /health/ready.");
    let waiting = assemble(Router::new().fallback(starting_up), health.clone());
    let take = |stream, seat| {
        tokio::spawn(connection(stream, seat, waiting.clone(), Arc::clone(&farewell)));
    };
    let mut starting = pin!(starting);
    let app = loop {
        tokio::select! {
            app = &mut starting => break app?,
            () = accept(&listener, &connections, &take) => {}
        }
    };
    check.set_ready();
    // Whoever is connected still talks to the waiting app: let them connect anew.
    farewell.leave();
    farewell.closed.cancel();
    serve_with(listener, app, health, shutdown, ending, connections).await;
    Ok(())
}

/// Takes the address. Separate from [`serve_on`] for callers that need to know the port behind `:0`.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, ServeError> {
    let listening = || {
        let socket = if listen.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        // Connections inherit it (tcp(7)).
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(listen)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|source| ServeError::Bind { listen, source })
}

/// [`serve`] on a listener that is already bound.
pub async fn serve_on(
    listener: TcpListener,
    app: Router,
    health: Health,
    shutdown: CancellationToken,
    ending: Ending,
    limits: Limits,
) {
    serve_with(listener, app, health, shutdown, ending, Connections::new(limits)).await;
}

async fn serve_with(
    listener: TcpListener,
    app: Router,
    health: Health,
    shutdown: CancellationToken,
    ending: Ending,
    seats: Arc<Connections>,
) {
    let app = router(app, health.clone());
    let connections = TaskTracker::new();
    let farewell = Arc::new(Farewell::default());
    let take = |stream, seat| {
        connections.spawn(connection(stream, seat, app.clone(), Arc::clone(&farewell)));
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving HTTP");
    }
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&listener, &seats, &take) => {}
    }
    let limit = Instant::now() + ending.limit;
    health.check("shutdown").set_unready("shutting down");
    farewell.leave();
    tokio::select! {
        () = tokio::time::sleep(ending.grace.min(ending.limit)) => {}
        () = accept(&listener, &seats, &take) => {}
    }
    close(listener, &seats, &take);
    connections.close();
    let ended = tokio::time::timeout_at(limit, async {
        // Without anyone connected there is nothing to look out for.
        tokio::select! {
            () = tokio::time::sleep(LAST_LOOK) => {}
            () = connections.wait() => {}
        }
        farewell.closed.cancel();
        connections.wait().await;
    });
    if ended.await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            requests = in_flight(),
            drain_seconds = ending.limit.as_secs(),
            "the time to drain is over: requests are left unanswered"
        );
    }
}

/// Takes connections for ever. Waits for a socket only as long as connections that had to give way take to close theirs,
/// about [`LAST_LOOK`] at most.
async fn accept(listener: &TcpListener, seats: &Arc<Connections>, take: &impl Fn(TcpStream, Seat)) {
    loop {
        let socket = seats.socket().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let seat = seats.admit(socket);
                let is_crowded = seat.is_crowded;
                take(stream, seat);
                // A probe that has been sent already is read before so many others have come that it gives way.
                if is_crowded {
                    tokio::task::yield_now().await;
                }
            }
            // The client gave up while it waited in the queue.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                seats.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// From now on new connections are refused, and a load balancer goes to another replica with them. To those that wait
/// in the kernel's queue the client's side is open already, and closing would reset them: they are taken first.
fn close(listener: TcpListener, seats: &Arc<Connections>, take: &impl Fn(TcpStream, Seat)) {
    let Ok(listener) = listener.into_std() else {
        return;
    };
    // Not blocking, as tokio had it: an empty queue is an error, and the end.
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            take(stream, seats.admit(None));
        }
    }
}

/// What connections are told about the end.
#[derive(Default)]
struct Farewell {
    /// The same as `leaving`, without the token's lock: every answer asks for it.
    begun: AtomicBool,
    /// Clients are asked to leave.
    leaving: CancellationToken,
    /// Connections on which nothing is asked are closed.
    closed: CancellationToken,
}

impl Farewell {
    fn leave(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.leaving.cancel();
    }
}

async fn connection(stream: TcpStream, seat: Seat, app: Router, farewell: Arc<Farewell>) {
    // Answers are small and complete: waiting to fill a packet only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut server = auto::Builder::new(TokioExecutor::new());
    // Heads have their deadline from the seat, which knows the bytes before the protocol is known, too.
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
            // Only those who look after the process are answered on the last connections.
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
        // GOAWAY loses nothing (RFC 9113, 6.8). An idle HTTP/1 connection can only be closed, and that would lose a
        // request that is on its way: those stay until it is rather sure that there is none.
        if !seat.connection.is_http2() {
            farewell.closed.cancelled().await;
        }
    };
    let mut leaving = pin!(leaving);
    let mut is_leaving = false;
    let mut overdue = pin!(seat.overdue());
    let ended = loop {
        tokio::select! {
            // What has arrived is read before the end is looked at.
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
                // One that was displaced holds up others. Polled once, it has said its farewell.
                let first = if seat.connection.is_gone() { Duration::ZERO } else { LAST_LOOK };
                if tokio::time::timeout(first, connection.as_mut()).await.is_ok() || !seat.connection.is_busy() {
                    return;
                }
                match reason {
                    // A request that came at the last moment is answered, as long as the client takes its answer.
                    Reason::Idle | Reason::HeadLate => tokio::select! {
                        _ = connection.as_mut() => {}
                        _ = seat.overdue() => {}
                    },
                    // What is left to be sent is a probe's answer, or a refusal: no handler is broken off.
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

/// hyper takes a body whose last coding is chunked for one that has no other. Read as it stands, it would be something
/// else than what the client sent (RFC 9112, 6.1).
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
    Some(Problem::new(
        Code::TransferEncodingUnsupported,
        "Of transfer encodings, only chunked is accepted: send the body uncompressed. Nothing was done.",
    ))
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// `app` with all that every role serves: health, `/metrics`, problems for unknown paths and methods and for panics,
/// metrics of requests. Tests call it directly, without a socket.
pub fn router(app: Router, health: Health) -> Router {
    let nothing_here = async |uri: Uri| Problem::not_found(format!("Nothing is served at {}.", uri.path()));
    assemble(app.fallback(nothing_here), health)
}

/// [`router`] for an app that has its fallback already.
fn assemble(app: Router, health: Health) -> Router {
    app.merge(health::routes(health))
        .merge(log_level::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(Observe)
        // Turns handlers into services now; without it axum does so, layers included, for every request anew.
        .with_state(())
}

/// axum adds the header `Allow` by itself.
async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not served at {}; see the header Allow.", uri.path());
    Problem::new(Code::MethodNotAllowed, detail)
}

/// The panic itself is a log line by now ([`crate::telemetry`]).
fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}
