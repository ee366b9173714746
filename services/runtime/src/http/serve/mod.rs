//! The server: HTTP/1.1 and HTTP/2 on one port, with a farewell to clients and a drain at the end.
//!
//! Its invariant: a request that has begun is answered, unless the drain's time is over. Shutdown proceeds in
//! this order, so that clients leave before they are cut off:
//!
//! 1. Readiness is 503; answers over HTTP/1 say `Connection: close`, HTTP/2 connections get GOAWAY. New connections
//!    are still accepted, for [`Ending::grace`]: load balancers are only now learning of the shutdown.
//! 2. The listener is closed, after the connections waiting in its queue have been accepted.
//! 3. After [`LAST_LOOK`], connections without a request are closed, and the requests in flight are awaited.

mod connection;
mod router;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Problem;
use super::connections::{Connections, Seat};
use super::limits::Limits;
use super::observe::in_flight;
use crate::health::Health;
use crate::settings::Settings;
use connection::{Farewell, LAST_LOOK, connection};
use router::assemble;
pub use router::router;

/// Pause after a connection could not be accepted (too many open files): retrying at once would only burn CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Answer bytes that the kernel buffers per connection. By default it takes up to 4 MiB of an answer that nobody reads,
/// and that counts against a pod's memory limit.
const SEND_BUFFER: u32 = 256 * 1024;
/// Connections that may wait in the kernel to be accepted.
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

/// How long the shutdown may take.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// How long new connections are accepted although readiness says no.
    pub grace: Duration,
    /// From the start of the shutdown until requests are left unanswered; includes `grace`.
    pub limit: Duration,
}

impl Ending {
    /// For a server that clients are routed to.
    pub fn of(settings: &Settings) -> Self {
        Self {
            grace: settings.shutdown_grace_seconds,
            limit: settings.drain(),
        }
    }

    /// For a server that only reports on itself: nobody needs to be routed away from it.
    pub fn without_grace(settings: &Settings) -> Self {
        Self {
            grace: Duration::ZERO,
            ..Self::of(settings)
        }
    }
}

/// [`serve_on`] for a role that must wait before it can serve: until `starting` yields the app, only health and metrics
/// answer and all other requests are told to retry, so that waiting for a database never looks like a dead process.
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
    // Without this check, the role would be ready before any other check is registered.
    let check = health.check("start");
    let farewell = Arc::new(Farewell::default());
    let app = answer_during(starting, &listener, &health, &connections, &farewell).await?;
    check.set_ready();
    // Connected clients still talk to the waiting app: make them reconnect.
    farewell.leave();
    farewell.closed.cancel();
    serve_with(listener, app, health, shutdown, ending, connections).await;
    Ok(())
}

/// Runs `chore`, which serves nothing, and shows its health meanwhile. If the address is not available, it runs anyway.
pub async fn serve_during<T>(
    listen: SocketAddr,
    chore: impl Future<Output = T>,
    health: &Health,
    limits: Limits,
) -> T {
    match bind(listen).await {
        Ok(listener) => {
            let connections = Connections::new(limits);
            answer_during(chore, &listener, health, &connections, &Arc::default()).await
        }
        Err(error) => {
            tracing::debug!(%error, "health is not served");
            chore.await
        }
    }
}

/// Answers for health and metrics, and tells all other requests to retry, until `work` is done.
async fn answer_during<T>(
    work: impl Future<Output = T>,
    listener: &TcpListener,
    health: &Health,
    connections: &Arc<Connections>,
    farewell: &Arc<Farewell>,
) -> T {
    let starting_up = async || Problem::unavailable("This replica is starting; see /health/ready.");
    let waiting = assemble(Router::new().fallback(starting_up), health.clone());
    let take = |stream, seat| {
        tokio::spawn(connection(stream, seat, waiting.clone(), Arc::clone(farewell)));
    };
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = accept(listener, connections, &take) => {}
        }
    }
}

/// Binds the address. Separate from [`serve_on`] for callers that need to know the port behind `:0`.
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

/// Serves `app` and the routes of [`router`] until `shutdown` is cancelled and the [`Ending`] is over.
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
        // Without connected clients there is nothing to wait for.
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

/// Accepts connections forever. Waits for a socket only as long as displaced connections take to close theirs, at most
/// about [`LAST_LOOK`].
async fn accept(listener: &TcpListener, seats: &Arc<Connections>, take: &impl Fn(TcpStream, Seat)) {
    loop {
        let socket = seats.socket().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let seat = seats.admit(socket);
                let is_crowded = seat.is_crowded;
                take(stream, seat);
                // A probe already sent is read before enough others have come to displace it.
                if is_crowded {
                    tokio::task::yield_now().await;
                }
            }
            // The client gave up while waiting in the queue.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                seats.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// From now on new connections are refused, and a load balancer tries another replica. Connections in the kernel's queue
/// are already open on the client's side, and closing would reset them: they are accepted first.
fn close(listener: TcpListener, seats: &Arc<Connections>, take: &impl Fn(TcpStream, Seat)) {
    let Ok(listener) = listener.into_std() else {
        return;
    };
    // Non-blocking, as tokio set it: an empty queue is an error, and the end.
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            take(stream, seats.admit(None));
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
