//! Clients that hold connections and do not read, against the real binary: probes answer, memory stays bounded. The large
//! runs print figures and run on request: `cargo test --test wallex crowd -- --ignored --nocapture`, with `ulimit -n 8192`.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use wallex_testing::eventually;

use crate::api::{Api, Write};
use crate::platform::Platform;
use crate::process::{DEADLINE, Process};

/// The default timeout of a Kubernetes probe.
const PROBE: Duration = Duration::from_secs(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The default memory limit of a pod, in MiB.
const POD: u64 = 1024;

/// A connection on which only these bytes were sent.
async fn hold(role: &Process, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", role.port)).await.ok()?;
    stream.write_all(bytes).await.ok()?;
    Some(stream)
}

async fn probe(role: &Process) -> Duration {
    let started = Instant::now();
    let answered = tokio::time::timeout(Duration::from_secs(10), role.get("/health/live")).await;
    assert_eq!(answered, Ok(Some(200)), "after {:?}", started.elapsed());
    started.elapsed()
}

/// Holds `count` connections of every kind at once. Returns the slowest probe meanwhile.
async fn besiege(role: &Process, count: usize) -> Duration {
    let body = b"POST /v1/wallets HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{";
    let kinds: [&[u8]; 5] = [b"", b"GET /v1/wallets HTTP/1.1\r\nho", body, PREFACE, b"G"];
    let mut held = Vec::new();
    let mut slowest = Duration::ZERO;
    for at in 0..count {
        held.push(hold(role, kinds[at % kinds.len()]).await);
        if at % 50 == 0 {
            slowest = slowest.max(probe(role).await);
        }
    }
    for _ in 0..20 {
        slowest = slowest.max(probe(role).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    slowest
}

#[tokio::test]
async fn probes_answer_while_more_is_held_open_than_the_process_may_open() {
    let platform = Platform::new().await;
    let role = platform.start_with_files(&["query"], 256);
    role.ready().await;
    let slowest = besiege(&role, 400).await;
    assert!(slowest < PROBE, "{slowest:?}");
    assert!(
        !role.log().contains("cannot accept a connection"),
        "{}",
        role.log()
    );
    let (_, metrics) = role.read("/metrics").await.unwrap();
    for part in [
        r#"wallex_http_connections_closed_total{reason="displaced"}"#,
        r#"wallex_http_connections_closed_total{reason="refused"} 0"#,
        "\nwallex_http_connections ",
    ] {
        assert!(metrics.contains(part), "no {part} in {metrics}");
    }
    assert_eq!(role.get("/health/ready").await, Some(200));
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_not_waited_for() {
    let platform = Platform::new().await;
    let role = platform.start(&["command"]);
    role.ready().await;
    let path = "/v1/wallets/0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f/credits";
    for (path, bytes) in [
        (path, 99_999_999_999_999_u64),
        (path, (256 << 10) + 1),
        ("/v1/batches", (20 << 20) + 1),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: k\r\n\
             content-length: {bytes}\r\nconnection: close\r\n\r\n"
        );
        let mut stream = hold(&role, head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // A body has 30 s to arrive.
        let answered = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer));
        answered.await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path} {bytes}: {answer}");
        assert!(answer.contains("body_too_large"), "{answer}");
    }
}

#[tokio::test]
#[ignore = "prints figures: 2,000 connections, with the usual limit of files and with 256"]
async fn two_thousand_idle_and_half_open_connections() {
    let platform = Platform::new().await;
    for files in [256, 65_536] {
        let role = platform.start_with_files(&["query"], files);
        role.ready().await;
        let before = role.memory().0;
        let slowest = besiege(&role, 2_000).await;
        let (now, most) = role.memory();
        println!(
            "ulimit -n {files}: slowest probe {slowest:?}; RSS {before} MiB before, {now} after, {most} at most"
        );
        assert!(slowest < PROBE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: 100 and 1,000 exports that nobody reads, 1,000 unfinished bodies"]
async fn a_thousand_unread_exports_and_unfinished_bodies() {
    let platform = Platform::new().await;
    let role = platform.start(&["command"]);
    let projector = platform.start(&["projector", "read-model", "--source", "journal"]);
    role.ready().await;
    projector.ready().await;
    let path = long_history(&role).await;
    let before = role.memory().0;
    let export = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: application/x-ndjson\r\n\r\n");
    let page = format!("GET {path}?limit=200 HTTP/1.1\r\nhost: x\r\n\r\n");
    let head = "POST /v1/wallets HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: k\r\n\
                content-length: 200000\r\n\r\n";
    let body = format!("{head}{}", " ".repeat(180_000));
    for (what, request, count) in [
        ("unread exports", &export, 100),
        ("unread exports", &export, 1_000),
        ("unread pages", &page, 1_000),
        ("unfinished bodies", &body, 1_000),
    ] {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(hold(&role, request.as_bytes()).await);
        }
        let mut slowest = Duration::ZERO;
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            slowest = slowest.max(probe(&role).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let (now, most) = role.memory();
        println!(
            "{count} {what}: RSS {before} MiB before, {now} now, {most} at most; slowest probe {slowest:?}"
        );
        assert!(most < POD, "{most} MiB");
        drop(held);
    }
}

/// Creates a wallet with 1,000 entries with 16 KB of metadata each. Returns the path of its history.
async fn long_history(role: &Process) -> String {
    let api = Api::new([role.port, role.port]);
    let send = async |path: String, key: String, body| {
        let write = Write {
            method: http::Method::POST,
            path,
            key,
            if_match: None,
            body,
        };
        let reply = api.write(0, &write).await.unwrap();
        assert_eq!(reply.status, 201, "{:?}", reply.body);
        reply
    };
    let created = send("/v1/wallets".into(), "w".into(), json!({"currency": "EUR"})).await;
    let id = created.body["wallet"]["id"].as_str().unwrap().to_owned();
    let metadata = json!({"k": "x".repeat(16_000)});
    let mut position = String::new();
    for at in 0..1_000 {
        let body = json!({"amount": 1, "metadata": metadata});
        let credited = send(format!("/v1/wallets/{id}/credits"), format!("c{at}"), body).await;
        position = credited.position.unwrap();
    }
    let path = format!("/v1/wallets/{id}");
    eventually(DEADLINE, "the read model", async || {
        (api.read(0, &path, &position).await.ok()?.status == 200).then_some(())
    })
    .await;
    // Warm-up: memory that the process holds anyway.
    let mut stream = hold(
        role,
        format!("GET {path}/transactions?limit=200 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .as_bytes(),
    )
    .await
    .unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    format!("{path}/transactions")
}
