//! A rolling restart under load, as in Kubernetes: two replicas get SIGTERM one after the other, and requests are
//! routed by readiness.
//!
//! A client never repeats a request: if a connection is refused, nothing was sent, so it tries the other replica.
//! Anything else that is not an answer is a lost request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;
use wallex_testing::eventually;

use crate::platform::Platform;
use crate::process::{DEADLINE, Process};

/// Concurrent clients; each credits its own wallet, one minor unit at a time.
const CLIENTS: usize = 12;
/// Answers between two steps of the restart.
const LOAD: u64 = 300;
/// Time between two requests on a kept connection. Far shorter than the grace period, so the server has a chance to
/// announce the close: a connection in use that is closed without notice counts as a lost request.
const THINKING: Duration = Duration::from_millis(10);
/// Time between two readiness checks, shorter than half the grace period (`shutdown_grace_seconds`).
const PROBE: Duration = Duration::from_millis(100);

type Sender = SendRequest<Full<Bytes>>;

/// One replica, as the load balancer knows it.
struct Backend {
    port: u16,
    ready: AtomicBool,
}

struct Load {
    backends: Vec<Backend>,
    answered: AtomicU64,
    /// Retried, because nothing was sent yet.
    refused: AtomicU64,
    /// Connections that the server closed after an answer that announced it.
    farewells: AtomicU64,
    lost: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Load {
    fn lose(&self, what: impl std::fmt::Display) {
        self.lost.lock().unwrap().push(what.to_string());
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Tracks a backend's readiness, with one connection per check.
    async fn probe(self: Arc<Self>, index: usize) {
        let backend = &self.backends[index];
        while !self.is_over() {
            let ready = match connect(backend.port).await {
                Ok(mut sender) => ask(&mut sender, "GET", "/health/ready", None)
                    .await
                    .is_ok_and(|(status, ..)| status == StatusCode::OK),
                Err(_) => false,
            };
            backend.ready.store(ready, Ordering::Relaxed);
            // Part of the scenario, not a condition: a load balancer checks periodically.
            tokio::time::sleep(PROBE).await;
        }
    }

    /// Connects to a ready backend, or to another one if that refuses.
    async fn connect(&self, turn: &mut usize) -> Sender {
        loop {
            *turn += 1;
            let backend = &self.backends[*turn % self.backends.len()];
            if !backend.ready.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
                continue;
            }
            match connect(backend.port).await {
                Ok(sender) => return sender,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.lose(format!("connecting: {error}")),
            }
        }
    }

    /// Credits the wallet until the load ends. Returns the number of successful answers. A client that keeps
    /// connections sends its requests over them; the others connect for each request.
    async fn client(self: Arc<Self>, wallet: Uuid, mut turn: usize, keeps: bool) -> i64 {
        let mut credited = 0;
        let path = format!("/v1/wallets/{wallet}/credits");
        let mut kept: Option<Sender> = None;
        while !self.is_over() {
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.connect(&mut turn).await,
            };
            match ask(&mut sender, "POST", &path, Some(&json!({"amount": 1}))).await {
                Ok((StatusCode::CREATED, closes, _)) => {
                    credited += 1;
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if closes {
                        self.farewells.fetch_add(1, Ordering::Relaxed);
                    } else if keeps {
                        kept = Some(sender);
                        tokio::time::sleep(THINKING).await;
                    }
                }
                Ok((status, _, body)) => self.lose(format!("{status} {body}")),
                Err(error) => self.lose(format!("{error:?}")),
            }
        }
        credited
    }

    async fn more(&self) {
        let until = self.answered.load(Ordering::Relaxed) + LOAD;
        eventually(DEADLINE, "load", async || {
            (self.answered.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }
}

async fn connect(port: u16) -> std::io::Result<Sender> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request. Returns the status, whether the server closes the connection, and the body.
async fn ask(
    sender: &mut Sender,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> hyper::Result<(StatusCode, bool, Value)> {
    sender.ready().await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "wallex")
        .header("content-type", "application/json")
        .header("idempotency-key", Uuid::now_v7().to_string())
        .body(Full::from(body.map(Value::to_string).unwrap_or_default()))
        .unwrap();
    let response = sender.send_request(request).await?;
    let closes = response
        .headers()
        .get("connection")
        .is_some_and(|value| value == "close");
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((
        status,
        closes,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    ))
}

#[tokio::test]
async fn a_rolling_restart_under_load_loses_no_request() {
    let platform = Platform::new().await;
    let mut replicas: Vec<Process> = (0..2).map(|_| platform.start(&["command"])).collect();
    for replica in &replicas {
        replica.ready().await;
    }
    let mut wallets = Vec::new();
    let mut sender = connect(replicas[0].port).await.unwrap();
    for _ in 0..CLIENTS {
        let create = json!({"currency": "EUR"});
        let (status, _, body) = ask(&mut sender, "POST", "/v1/wallets", Some(&create))
            .await
            .unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
        wallets.push(body["wallet"]["id"].as_str().unwrap().parse::<Uuid>().unwrap());
    }
    let backend = |replica: &Process| Backend {
        port: replica.port,
        ready: AtomicBool::new(true),
    };
    let load = Arc::new(Load {
        backends: replicas.iter().map(backend).collect(),
        answered: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        farewells: AtomicU64::new(0),
        lost: Mutex::default(),
        over: AtomicBool::new(false),
    });
    for index in 0..replicas.len() {
        tokio::spawn(Arc::clone(&load).probe(index));
    }
    let clients: Vec<_> = wallets
        .iter()
        .enumerate()
        .map(|(turn, wallet)| tokio::spawn(Arc::clone(&load).client(*wallet, turn, turn % 3 != 0)))
        .collect();

    load.more().await;
    for replica in &mut replicas {
        replica.signal("-TERM");
        assert!(replica.ended().await.success(), "{}", replica.log());
        assert!(!replica.log().contains("unanswered"), "{}", replica.log());
        *replica = platform.restart(&["command"], replica.port);
        replica.ready().await;
        load.more().await;
    }
    load.over.store(true, Ordering::Relaxed);

    platform.assert_balances(&wallets, clients).await;
    let lost = load.lost.lock().unwrap();
    assert!(lost.is_empty(), "{} lost: {lost:#?}", lost.len());
    assert!(
        load.farewells.load(Ordering::Relaxed) > 0,
        "no connection was ended by the server: the restart has not met the load"
    );
    platform.verify();
}
