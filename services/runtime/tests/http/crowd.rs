//! Clients that hold on to connections, memory and the server's time, and clients that arrive meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use wallex_runtime::CancellationToken;
use wallex_runtime::health::Health;
use wallex_runtime::http::{Ending, Limits, Patience, bind, serve_on};
use wallex_testing::eventually;

use crate::ROOMY;

const DEADLINE: Duration = Duration::from_secs(20);
/// The default timeout of a Kubernetes probe.
const PROBE: Duration = Duration::from_secs(1);
const KIB: usize = 1024;
/// More than the kernel buffers for a client that does not read.
const BIG: usize = 16 * KIB * KIB;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

struct Server {
    address: SocketAddr,
    entered: Arc<Semaphore>,
    release: Arc<Notify>,
    shutdown: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let (entered, release) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
        let slow = {
            let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
            async move || {
                entered.add_permits(1);
                release.notified().await;
                "finished"
            }
        };
        let app = Router::new()
            .route("/slow", get(slow))
            .route("/quick", get(async || "quick"))
            .route("/big", get(big).post(big))
            .route("/body", post(async |body: Bytes| body.len().to_string()));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let ending = Ending {
            grace: Duration::ZERO,
            limit: Duration::ZERO,
        };
        tokio::spawn(serve_on(
            listener,
            app,
            Health::new(),
            shutdown.clone(),
            ending,
            limits,
        ));
        Self {
            address,
            entered,
            release,
            shutdown,
        }
    }

    /// A connection on which these bytes were sent.
    async fn hold(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may have closed it already.
        let _ = stream.write_all(bytes).await;
        stream
    }

    /// The complete answer to these bytes; empty when the server just closes.
    async fn answer(&self, bytes: &[u8]) -> String {
        everything(self.hold(bytes).await).await
    }

    async fn status(&self, path: &str) -> Option<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        let answer = self.answer(request.as_bytes()).await;
        answer.split(' ').nth(1)?.parse().ok()
    }

    /// Asserts that the probe answers, within a probe's timeout.
    async fn is_alive(&self, while_: &str) {
        let started = Instant::now();
        assert_eq!(self.status("/health/live").await, Some(200), "{while_}");
        assert!(started.elapsed() < PROBE, "{while_}: {:?}", started.elapsed());
    }
}

async fn big() -> Vec<u8> {
    vec![b'x'; BIG]
}

/// Reads until the server closes.
async fn everything(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A reset also counts as the end.
    let _ = tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends `bytes` one by one with pauses, and returns how long the server put up with it, and its answer.
async fn drip(server: &Server, first: &[u8], bytes: &[u8]) -> (Duration, String) {
    let started = Instant::now();
    let (mut reader, mut writer) = server.hold(first).await.into_split();
    let bytes = bytes.to_vec();
    let dripping = tokio::spawn(async move {
        for byte in bytes.iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    let reading = reader.read_to_end(&mut answer);
    let _ = tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("the server gives up");
    dripping.abort();
    (started.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

fn impatient() -> Limits {
    Limits {
        patience: Patience {
            head: Duration::from_millis(400),
            body: Duration::from_millis(400),
            idle: Duration::from_secs(2),
            answer: Duration::from_millis(400),
        },
        ..ROOMY
    }
}

#[tokio::test]
async fn who_sends_no_head_in_time_is_cut_off() {
    let server = Server::start(impatient()).await;
    for bytes in [
        &b""[..],
        b"G",
        b"GET /quick HTTP/1.1\r\nhost: te",
        b"PRI * HT",
        PREFACE,
    ] {
        let started = Instant::now();
        let name = String::from_utf8_lossy(bytes).into_owned();
        let answer = server.answer(bytes).await;
        assert!(!answer.contains("200 OK"), "{name}: {answer}");
        assert!(
            started.elapsed() < Duration::from_millis(1_900),
            "{name}: {:?}",
            started.elapsed()
        );
    }
    // A byte now and then does not make a head either.
    let (borne, answer) = drip(&server, b"GET /quick HTTP/1.1\r\n", b"x: y\r\n").await;
    assert!(borne < Duration::from_millis(1_900), "{borne:?}: {answer}");
    server.is_alive("after them").await;
}

#[tokio::test]
async fn who_sends_no_body_in_time_is_answered_and_cut_off() {
    let server = Server::start(impatient()).await;
    let head = b"POST /body HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\n";
    for first in [
        &head[..],
        b"POST /body HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
    ] {
        let started = Instant::now();
        let answer = server.answer(first).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(
            started.elapsed() < Duration::from_millis(1_900),
            "{:?}",
            started.elapsed()
        );
    }
    let (borne, answer) = drip(&server, head, b"xxxxxxxx").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(borne < Duration::from_millis(1_900), "{borne:?}");
    // If the handler does not read the body, it does not matter.
    let unread = b"GET /quick HTTP/1.1\r\nhost: test\r\ncontent-length: 100000\r\n\r\n";
    assert!(server.answer(unread).await.starts_with("HTTP/1.1 200 "));
    let whole = b"POST /body HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    assert!(server.answer(whole).await.ends_with("\r\n\r\n5"));
}

#[tokio::test]
async fn a_body_in_a_coding_that_is_not_read_is_refused() {
    let server = Server::start(impatient()).await;
    let post = async |coding: &str| {
        let head = format!("POST /body HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{coding}\r\n\r\n");
        server
            .answer(format!("{head}5\r\nhello\r\n0\r\n\r\n").as_bytes())
            .await
    };
    for coding in [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: identity,chunked",
        "transfer-encoding: chunked, chunked",
    ] {
        let answer = post(coding).await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{coding}: {answer}");
        assert!(
            answer.contains(r#""code":"transfer_encoding_unsupported""#),
            "{answer}"
        );
    }
    for coding in ["transfer-encoding: chunked", "Transfer-Encoding: , Chunked"] {
        assert!(post(coding).await.ends_with("\r\n\r\n5"), "{coding}");
    }
}

#[tokio::test]
async fn a_connection_may_rest_between_requests_and_not_for_ever() {
    let server = Server::start(impatient()).await;
    let request = b"GET /quick HTTP/1.1\r\nhost: test\r\n\r\n";
    let started = Instant::now();
    let mut stream = server.hold(request).await;
    // Longer than a head may take.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    stream.write_all(request).await.unwrap();
    let answers = everything(stream).await;
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    assert!(
        started.elapsed() > Duration::from_millis(2_500),
        "{:?}",
        started.elapsed()
    );
    // The next head has its own time.
    let mut stream = server.hold(request).await;
    eventually(DEADLINE, "the answer", async || {
        let mut some = [0; 16];
        (stream.read(&mut some).await.unwrap() > 0).then_some(())
    })
    .await;
    let started = Instant::now();
    stream.write_all(b"GET /qu").await.unwrap();
    everything(stream).await;
    assert!(
        started.elapsed() < Duration::from_millis(1_900),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn connections_that_only_wait_keep_nobody_out() {
    let server = Server::start(Limits {
        connections: 8,
        ..ROOMY
    })
    .await;
    let resting = b"GET /quick HTTP/1.1\r\nhost: test\r\n\r\n";
    let kinds: [&[u8]; 4] = [b"", b"GET /quick HT", PREFACE, resting];
    let mut held = Vec::new();
    for at in 0..200 {
        held.push(server.hold(kinds[at % kinds.len()]).await);
        if at % 20 == 0 {
            server.is_alive("a crowd").await;
        }
    }
    server.is_alive("a crowd").await;
    assert_eq!(server.status("/quick").await, Some(200));
    let mut left = held;
    eventually(DEADLINE, "those that waited longest are closed", async || {
        // Connections with a request get their answer first.
        left.retain(|stream| {
            loop {
                match stream.try_read(&mut [0; 4096]) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
        });
        (left.len() <= 8).then_some(())
    })
    .await;
}

#[tokio::test]
async fn probes_are_answered_while_every_connection_is_in_use() {
    let server = Server::start(Limits {
        connections: 8,
        ..ROOMY
    })
    .await;
    let busy = b"GET /slow HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(server.hold(busy).await);
    }
    let entered = server.entered.acquire_many(8);
    drop(tokio::time::timeout(DEADLINE, entered).await.unwrap().unwrap());
    server.is_alive("all are in use").await;
    let turned_away = server.answer(b"GET /quick HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
    assert!(turned_away.contains("retry-after: 1"), "{turned_away}");
    // The reserve is no place to wait either.
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(server.hold(b"").await);
    }
    server.is_alive("the reserve is full").await;
    server.release.notify_waiters();
    for stream in held {
        assert!(
            everything(stream).await.ends_with("finished"),
            "those in use were let finish"
        );
    }
    assert_eq!(server.status("/quick").await, Some(200));
}

/// Connections that arrive in a burst lose their place before their head is read.
#[tokio::test]
async fn probes_are_answered_whatever_a_burst_of_requests_waits_for() {
    let unfinished = b"POST /body HTTP/1.1\r\nhost: test\r\ncontent-length: 180000\r\n\r\n";
    let endless = b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n";
    for request in [&unfinished[..], endless] {
        let server = Server::start(Limits {
            connections: 8,
            ..ROOMY
        })
        .await;
        // Connect without a pause, so that the server accepts many at a time.
        let held: Vec<std::net::TcpStream> = (0..200)
            .map(|_| {
                use std::io::Write as _;
                let mut stream = std::net::TcpStream::connect(server.address).unwrap();
                let _ = stream.write_all(request);
                stream
            })
            .collect();
        for _ in 0..5 {
            server.is_alive("a burst").await;
        }
        drop(held);
    }
}

/// A probe's answer that nobody takes: without a window, HTTP/2 sends none of it.
#[tokio::test]
async fn probes_are_answered_while_the_reserve_is_full_of_probes_that_wait() {
    const NO_WINDOW: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    // GET http /health/live, authority "x": indexed fields of RFC 7541, and two literals.
    const FIELDS: &[u8] = b"\x82\x86\x04\x0c/health/live\x01\x01x";
    let server = Server::start(Limits {
        connections: 8,
        ..ROOMY
    })
    .await;
    let mut probe = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    probe.extend(NO_WINDOW);
    probe.extend([0, 0, FIELDS.len() as u8, 1, 5, 0, 0, 0, 1]);
    probe.extend(FIELDS);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(server.hold(&probe).await);
    }
    for _ in 0..5 {
        server.is_alive("the reserve is in use").await;
    }
}

#[tokio::test]
async fn bodies_hold_no_more_than_there_is_room_for() {
    let server = Server::start(Limits {
        memory: 256 * KIB,
        ..ROOMY
    })
    .await;
    let head = b"POST /body HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n";
    let mut unfinished = Vec::new();
    for _ in 0..8 {
        let mut stream = server.hold(head).await;
        let _ = stream.write_all(&[b'x'; 90_000]).await;
        unfinished.push(stream);
    }
    // There is room for what two of them sent; each of the others is answered as soon as it has none.
    let mut refused = 0;
    eventually(DEADLINE, "all but two answers", async || {
        for stream in &unfinished {
            let mut some = [0; 2048];
            if let Ok(read) = stream.try_read(&mut some)
                && read > 0
            {
                let answer = String::from_utf8_lossy(&some[..read]).into_owned();
                assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
                refused += 1;
            }
        }
        (refused >= 6).then_some(())
    })
    .await;
    assert!(refused < 8, "nobody had room");
    drop(unfinished);
    let mut whole = head.to_vec();
    whole.extend([b'x'; 100_000]);
    eventually(DEADLINE, "the room of those that left", async || {
        server
            .answer(&whole)
            .await
            .ends_with("\r\n\r\n100000")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn answers_that_nobody_takes_hold_no_more_than_there_is_room_for() {
    let limits = impatient();
    let server = Server::start(Limits {
        memory: 2 * BIG + KIB,
        patience: Patience {
            answer: Duration::from_secs(2),
            ..limits.patience
        },
        ..limits
    })
    .await;
    let request = b"GET /big HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let (one, two) = (server.hold(request).await, server.hold(request).await);
    eventually(DEADLINE, "the room is taken", async || {
        (server.status("/big").await == Some(503)).then_some(())
    })
    .await;
    // Small answers need no room, and the result of a write is always sent.
    assert_eq!(server.status("/quick").await, Some(200));
    let written = server
        .answer(b"POST /big HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(written.starts_with("HTTP/1.1 200 "), "{}", &written[..20]);
    let started = Instant::now();
    eventually(DEADLINE, "those that take nothing are given up", async || {
        (server.status("/big").await == Some(200)).then_some(())
    })
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    for stream in [one, two] {
        let taken = everything(stream).await;
        assert!(taken.len() < BIG, "all of it was sent in spite of that");
    }
    // A client that reads gets the whole answer.
    let answer = server.answer(request).await;
    assert!(answer.len() > BIG, "{}", answer.len());
}
