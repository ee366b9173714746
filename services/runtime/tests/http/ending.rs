//! A server on a real socket, from start to shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use wallex_runtime::CancellationToken;
use wallex_runtime::health::Health;
use wallex_runtime::http::{Ending, ServeError, bind, serve_on, serve_starting};
use wallex_testing::eventually;

const DEADLINE: Duration = wallex_testing::DEADLINE;
/// No grace, and enough time for every request.
const AT_ONCE: Ending = Ending {
    grace: Duration::ZERO,
    limit: DEADLINE,
};
/// A grace that outlasts the test.
const PATIENT: Ending = Ending {
    grace: Duration::from_secs(300),
    limit: Duration::from_secs(300),
};

/// A server on a separate port, with a handler that answers when told to.
struct Server {
    address: SocketAddr,
    entered: Arc<Notify>,
    release: Arc<Notify>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(ending: Ending) -> Self {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
            async move || {
                entered.notify_one();
                release.notified().await;
                "finished"
            }
        };
        let app = Router::new()
            .route("/slow", get(slow))
            .route("/quick", get(async || "quick"));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve_on(
            listener,
            app,
            Health::new(),
            shutdown.clone(),
            ending,
            crate::ROOMY,
        ));
        Self {
            address,
            entered,
            release,
            shutdown,
            task,
        }
    }

    /// A request on a separate connection.
    fn get(&self, path: &str) -> JoinHandle<hyper::Result<(StatusCode, String)>> {
        let (address, path) = (self.address, path.to_owned());
        tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            read(client.send_request(request(&path)).await?).await
        })
    }
}

fn request(path: &str) -> Request<Body> {
    Request::get(path)
        .header("host", "wallex")
        .body(Body::empty())
        .unwrap()
}

async fn read(response: Response<hyper::body::Incoming>) -> hyper::Result<(StatusCode, String)> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn a_drain_answers_the_request_in_flight_and_takes_no_other() {
    let server = Server::start(AT_ONCE).await;
    // An idle connection must not keep the process alive.
    let idle = TcpStream::connect(server.address).await.unwrap();
    let reply = server.get("/slow");
    server.entered.notified().await;
    server.shutdown.cancel();
    eventually(DEADLINE, "new connections to be refused", async || {
        TcpStream::connect(server.address).await.err()
    })
    .await;
    assert!(!server.task.is_finished() && !reply.is_finished());
    server.release.notify_one();
    assert_eq!(
        reply.await.unwrap().unwrap(),
        (StatusCode::OK, "finished".to_owned())
    );
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .expect("the server ends after its last request")
        .unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_over() {
    let server = Server::start(Ending {
        limit: Duration::from_millis(100),
        ..AT_ONCE
    })
    .await;
    let _reply = server.get("/slow");
    server.entered.notified().await;
    let started = Instant::now();
    server.shutdown.cancel();
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .expect("the drain is bounded")
        .unwrap();
    assert!(started.elapsed() >= Duration::from_millis(100));
}

/// A kept-alive HTTP/1.1 connection, after its first request.
async fn kept_alive(server: &Server) -> (http1::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = client.send_request(request("/quick")).await.unwrap();
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(read(response).await.unwrap().1, "quick");
    client.ready().await.unwrap();
    (client, connection)
}

#[tokio::test]
async fn in_the_grace_readiness_says_no_and_answers_say_goodbye() {
    let server = Server::start(PATIENT).await;
    assert_eq!(server.get("/health/ready").await.unwrap().unwrap().0, 200);
    let (mut client, connection) = kept_alive(&server).await;
    server.shutdown.cancel();
    eventually(DEADLINE, "readiness to say no", async || {
        let (status, body) = server.get("/health/ready").await.unwrap().unwrap();
        (status == 503 && body.contains("shutting down")).then_some(())
    })
    .await;
    assert_eq!(server.get("/health/live").await.unwrap().unwrap().0, 200);
    assert_eq!(server.get("/quick").await.unwrap().unwrap().1, "quick");
    let last = client.send_request(request("/quick")).await.unwrap();
    assert_eq!(last.headers()["connection"], "close");
    assert_eq!(read(last).await.unwrap().1, "quick");
    tokio::time::timeout(DEADLINE, connection)
        .await
        .expect("the connection ends with the answer that said so")
        .unwrap()
        .unwrap();
    server.task.abort();
}

#[tokio::test]
async fn in_the_grace_http2_is_told_to_go_and_loses_nothing() {
    let server = Server::start(PATIENT).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let slow = Request::get("http://wallex/slow").body(Body::empty()).unwrap();
    let slow = tokio::spawn(client.send_request(slow));
    server.entered.notified().await;
    server.shutdown.cancel();
    eventually(DEADLINE, "GOAWAY", async || {
        let quick = Request::get("http://wallex/quick").body(Body::empty()).unwrap();
        client.send_request(quick).await.err()
    })
    .await;
    assert!(!slow.is_finished());
    server.release.notify_one();
    assert_eq!(read(slow.await.unwrap().unwrap()).await.unwrap().1, "finished");
    server.task.abort();
}

#[tokio::test]
async fn a_request_that_meets_the_end_is_answered() {
    let server = Server::start(AT_ONCE).await;
    let (mut client, _connection) = kept_alive(&server).await;
    // Connected, and silent until the end.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    server.shutdown.cancel();
    // The worst moment: the listener is closed, and nobody has been told on these connections.
    while TcpStream::connect(server.address).await.is_ok() {}
    // Part of the scenario, not a wait for a condition: the requests are on their way for this long.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (last, late) = tokio::join!(client.send_request(request("/quick")), async {
        let request = b"GET /quick HTTP/1.1\r\nhost: wallex\r\n\r\n";
        silent.write_all(request).await.unwrap();
        let mut answer = String::new();
        silent.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(read(last.unwrap()).await.unwrap().1, "quick");
    assert!(
        late.starts_with("HTTP/1.1 200") && late.contains("connection: close"),
        "{late}"
    );
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .expect("the server ends")
        .unwrap();
}

#[tokio::test]
async fn http2_is_spoken_without_asking_first() {
    let server = Server::start(AT_ONCE).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let quick = Request::get("http://wallex/quick").body(Body::empty()).unwrap();
    let slow = Request::get("http://wallex/slow").body(Body::empty()).unwrap();
    assert_eq!(
        read(client.send_request(quick).await.unwrap()).await.unwrap().1,
        "quick"
    );
    let slow = tokio::spawn(client.send_request(slow));
    server.entered.notified().await;
    server.shutdown.cancel();
    server.release.notify_one();
    assert_eq!(read(slow.await.unwrap().unwrap()).await.unwrap().1, "finished");
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .expect("drained")
        .unwrap();
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_the_setting() {
    let server = Server::start(AT_ONCE).await;
    let error = bind(server.address).await.unwrap_err();
    let expected = format!(
        "cannot listen on {} (setting listen, WALLEX_LISTEN)",
        server.address
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    server.shutdown.cancel();
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_role_that_is_still_starting_is_alive_and_says_so() {
    // A port of our own: bound, and released right before the server binds it.
    let address = bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (health, shutdown) = (Health::new(), CancellationToken::new());
    let database = health.check("database");
    let go = Arc::new(Notify::new());
    let starting = {
        let go = go.clone();
        async move {
            go.notified().await;
            database.set_ready();
            Ok::<_, ServeError>(Router::new().route("/v1/wallets", get(async || "wallets")))
        }
    };
    let server = tokio::spawn(serve_starting(
        address,
        starting,
        health,
        shutdown.clone(),
        AT_ONCE,
        crate::ROOMY,
    ));
    let ask = async |path: &str| {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender.send_request(request(path)).await.ok()?.status().as_u16())
    };
    let live = eventually(DEADLINE, "the server", async || ask("/health/live").await).await;
    assert_eq!(live, 200);
    assert_eq!(ask("/health/ready").await, Some(503));
    assert_eq!(ask("/v1/wallets").await, Some(503));
    go.notify_one();
    eventually(DEADLINE, "the app", async || {
        (ask("/v1/wallets").await == Some(200)).then_some(())
    })
    .await;
    assert_eq!(
        (ask("/health/ready").await, ask("/v1/nothing").await),
        (Some(200), Some(404))
    );
    shutdown.cancel();
    server.await.unwrap().unwrap();
}
