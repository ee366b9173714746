//! The server: HTTP/1.1 and HTTP/2 on one port, health routes and `/metrics` beside the role's own, a drain at the end.
//!
//! Its invariant: after shutdown no new connection is accepted, and a request whose head has been read is answered
//! unless the drain's time is over.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use super::Problem;
use super::observe::{Observe, in_flight};
use crate::health::Health;
use crate::metrics;

/// A client that has not sent a request's head by then is cut off (a slow one could hold connections for ever).
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// HTTP/2 connections are pinged when silent, so that those of vanished clients end.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Waited when a connection can't be accepted (too many open files): trying again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {listen} (setting listen, WALLEX_LISTEN): {source}")]
    Bind {
        listen: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Serves `app` and the routes of [`router`] on `listen` until `shutdown` is cancelled and requests in flight are
/// answered, at most `drain` later.
pub async fn serve(
    listen: SocketAddr,
    app: Router,
    health: Health,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<(), ServeError> {
    serve_on(bind(listen).await?, app, health, shutdown, drain).await;
    Ok(())
}

/// [`serve`] for a role that has to wait before it can serve: until `starting` yields the app, health and metrics
/// answer and everything else is told to come back, so that waiting for a database never looks like a dead process.
pub async fn serve_starting<E: From<ServeError>>(
    listen: SocketAddr,
    starting: impl Future<Output = Result<Router, E>>,
    health: Health,
    shutdown: CancellationToken,
    drain: Duration,
) -> Result<(), E> {
    let listener = bind(listen).await?;
    // Ready before any check is registered would be ready too early.
    let check = health.check("start");
    let started = shutdown.child_token();
    let starting_up = async || Problem::unavailable("This replica is starting; see /health/ready.");
    let waiting = assemble(Router::new().fallback(starting_up), health.clone());
    let mut starting = pin!(starting);
    let app = loop {
        tokio::select! {
            app = &mut starting => break app?,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tokio::spawn(connection(stream, waiting.clone(), started.clone()));
            },
        }
    };
    check.set_ready();
    // Whoever is connected still talks to the waiting app: let them connect anew.
    started.cancel();
    serve_on(listener, app, health, shutdown, drain).await;
    Ok(())
}

/// Takes the address. Separate from [`serve_on`] for callers that need to know the port behind `:0`.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(listen)
        .await
        .map_err(|source| ServeError::Bind { listen, source })
}

/// [`serve`] on a listener that is already bound.
pub async fn serve_on(
    listener: TcpListener,
    app: Router,
    health: Health,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let app = router(app, health.clone());
    let connections = TaskTracker::new();
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving HTTP");
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, app.clone(), shutdown.clone()));
                }
                // The client gave up while it waited in the queue.
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Closed first: a load balancer's new connection is refused and goes to another replica.
    drop(listener);
    health.check("shutdown").set_unready("shutting down");
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            requests = in_flight(),
            drain_seconds = drain.as_secs(),
            "drain is over, requests are left unanswered"
        );
    }
}

async fn connection(stream: TcpStream, app: Router, shutdown: CancellationToken) {
    // Answers are small and complete: waiting to fill a packet only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE);
    let mut connection =
        pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(app)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "connection ended");
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// `app` with all that every role serves: `/health/live`, `/health/ready`, `/health/{check}`, `/metrics`, problems for
/// unknown paths and methods and for panics, metrics of requests. Tests call it directly, without a socket.
pub fn router(app: Router, health: Health) -> Router {
    let nothing_here = async |uri: Uri| Problem::not_found(format!("Nothing is served at {}.", uri.path()));
    assemble(app.fallback(nothing_here), health)
}

/// [`router`] for an app that has its fallback already.
fn assemble(app: Router, health: Health) -> Router {
    let own = Router::new()
        .route(
            "/health/live",
            get(async || axum::Json(json!({"status": "live"}))),
        )
        .route("/health/ready", get(ready))
        .route("/health/{check}", get(one_check))
        .route("/metrics", get(exposition))
        .with_state(health);
    app.merge(own)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(Observe)
        // Turns handlers into services now; without it axum does so, layers included, for every request anew.
        .with_state(())
}

async fn ready(State(health): State<Health>) -> Response {
    let checks: serde_json::Map<String, Value> = health
        .states()
        .into_iter()
        .map(|(name, state)| (name.to_owned(), shown(&state)))
        .collect();
    answer(
        health.is_ready(),
        json!({"status": status(health.is_ready()), "checks": checks}),
    )
}

async fn one_check(State(health): State<Health>, Path(check): Path<String>) -> Response {
    match health.states().into_iter().find(|(name, _)| *name == check) {
        Some((_, state)) => answer(state.is_ok(), shown(&state)),
        None => Problem::not_found(format!("This role has no check `{check}`.")).into_response(),
    }
}

fn answer(ready: bool, body: Value) -> Response {
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(body)).into_response()
}

fn shown(state: &Result<(), String>) -> Value {
    match state {
        Ok(()) => json!({"status": status(true)}),
        Err(reason) => json!({"status": status(false), "reason": reason}),
    }
}

fn status(ready: bool) -> &'static str {
    if ready { "ready" } else { "unready" }
}

async fn exposition() -> Response {
    let (text, content_type) = metrics::encode();
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

/// axum adds the header `Allow` by itself.
async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not served at {}; see the header Allow.", uri.path());
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Method not allowed",
        detail,
    )
}

/// The panic itself is a log line by now ([`crate::telemetry`]).
fn panicked(_panic: Box<dyn Any + Send + 'static>) -> Response {
    Problem::internal().into_response()
}
