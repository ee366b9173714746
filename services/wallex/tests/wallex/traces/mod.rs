//! Traces as the OpenTelemetry Collector receives them from all roles.

mod collector;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use uuid::Uuid;
use wallex_testing::eventually;

use self::collector::{Collector, Span};
use crate::platform::Platform;
use crate::process::{DEADLINE, Process};

const CALLER: &str = "00f067aa0ba902b7";

type Http = Client<HttpConnector, Full<Bytes>>;

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn write(client: &Http, port: u16, path: &str, traceparent: Option<&str>, body: Value) {
    let mut request = Request::post(format!("http://127.0.0.1:{port}{path}"))
        .header("content-type", "application/json")
        .header("idempotency-key", Uuid::now_v7().to_string());
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let request = request.body(Full::from(body.to_string())).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.status, 201, "{}", String::from_utf8_lossy(&body));
}

async fn transfer(port: u16, traceparent: Option<&str>) {
    let client = client();
    let (from, to) = (Uuid::now_v7(), Uuid::now_v7());
    for id in [from, to] {
        let wallet = json!({"id": id, "currency": "EUR", "initial_balance": 100});
        write(&client, port, "/v1/wallets", None, wallet).await;
    }
    let transfer = json!({"from": from, "to": to, "amount": 5});
    write(&client, port, "/v1/transfers", traceparent, transfer).await;
}

fn new_trace() -> String {
    Uuid::now_v7().simple().to_string()
}

fn named<'s>(spans: &'s [Span], service: &str, name: &str) -> Vec<&'s Span> {
    let is = |span: &&Span| span.service == service && span.name == name;
    spans.iter().filter(is).collect()
}

#[tokio::test]
async fn a_transfer_is_one_trace_from_the_request_to_each_projection() {
    let collector = Collector::start().await;
    let mut platform = Platform::new().await;
    platform.set("WALLEX_OTLP_ENDPOINT", collector.endpoint());
    // Only requests that the test marks are traced.
    platform.set("WALLEX_TRACE_SAMPLE_RATIO", "0");
    platform.set("WALLEX_LOG_FORMAT", "json");
    platform.set("WALLEX_LOG", "info");
    platform.set("WALLEX_SHUTDOWN_GRACE_SECONDS", "0");
    let roles: [&[&str]; 4] = [
        &["command"],
        &["publisher"],
        &["projector", "ledger"],
        &["projector", "read-model"],
    ];
    let mut processes: Vec<Process> = roles.iter().map(|role| platform.start(role)).collect();
    for process in &processes {
        process.ready().await;
    }
    let port = processes[0].port;

    let (sampled, unsampled) = (new_trace(), new_trace());
    transfer(port, Some(&format!("00-{unsampled}-{CALLER}-00"))).await;
    transfer(port, Some(&format!("00-{sampled}-{CALLER}-01"))).await;
    let publish = format!("{}-events publish", platform.name());
    // A transfer has two events, one of each wallet.
    let expected: [(&str, &str, usize); 5] = [
        ("wallex-command", "POST /v1/transfers", 1),
        ("wallex-command", "journal.append", 1),
        ("wallex-publisher", &publish, 2),
        ("wallex-ledger-projector", "ledger apply", 2),
        ("wallex-read-model-projector", "read-model apply", 2),
    ];
    let spans = eventually(DEADLINE, "all spans of the transfer", async || {
        let spans = collector.trace(&sampled);
        (spans.len() >= 8).then_some(spans)
    })
    .await;
    for (service, name, count) in expected {
        assert_eq!(
            named(&spans, service, name).len(),
            count,
            "{service} {name}: {spans:#?}"
        );
    }
    assert_eq!(spans.len(), 8, "{spans:#?}");

    let request = named(&spans, "wallex-command", "POST /v1/transfers")[0];
    assert_eq!(request.parent, CALLER, "the caller's span is above the request's");
    for span in spans.iter().filter(|span| span.id != request.id) {
        assert_eq!(span.parent, request.id, "{span:#?}");
        assert!(span.start <= span.end && span.start >= request.start, "{span:#?}");
        for part in [
            "service.version",
            "service.instance.id",
            "k8s.namespace.name",
            platform.name(),
        ] {
            assert!(span.text.contains(part), "no {part} in {span:#?}");
        }
    }
    let append = named(&spans, "wallex-command", "journal.append")[0];
    assert!(append.end <= request.end, "{append:#?} in {request:#?}");
    for stage in ["load", "decide", "append"] {
        assert!(
            append.text.contains(&format!("\"{stage}\"")),
            "{stage} in {append:#?}"
        );
    }

    // The journal records it too, even for the unsampled one: there it is the caller's.
    let pool = platform.database.pool().await;
    let kept: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT traceparent FROM journal.event WHERE traceparent IS NOT NULL ORDER BY traceparent",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let mut told = [
        format!("00-{unsampled}-{CALLER}-00"),
        format!("00-{sampled}-{}-01", request.id),
    ];
    told.sort();
    assert_eq!(kept, told);

    // Each request has a log line, with its trace if it came with one; it is written after the answer.
    let lines = eventually(DEADLINE, "a line of each transfer", async || {
        let log = processes[0].log();
        // The last line may be incomplete.
        let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<Value> = lines
            .filter(|line: &Value| line["target"] == "request" && line["route"] == "/v1/transfers")
            .collect();
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    let traces: Vec<&Value> = lines.iter().map(|line| &line["span"]["trace_id"]).collect();
    assert_eq!(traces, [&json!(unsampled), &json!(sampled)], "{lines:#?}");
    assert_eq!(
        (&lines[0]["status"], &lines[0]["level"]),
        (&json!(201), &json!("INFO"))
    );

    // Unsent spans are sent at shutdown.
    let last = new_trace();
    transfer(port, Some(&format!("00-{last}-{CALLER}-01"))).await;
    processes[0].signal("-TERM");
    assert!(processes[0].ended().await.success());
    eventually(DEADLINE, "the last spans of the command role", async || {
        let spans = collector.trace(&last);
        let of_role = spans.iter().filter(|span| span.service == "wallex-command");
        (of_role.count() == 2).then_some(())
    })
    .await;
    // By now all roles have sent their spans of the first traces.
    let others = collector.spans();
    let others: Vec<&Span> = others
        .iter()
        .filter(|span| ![&sampled, &last].contains(&&span.trace))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn requests_without_a_trace_are_sampled_by_the_ratio() {
    let collector = Collector::start().await;
    let mut platform = Platform::new().await;
    platform.set("WALLEX_OTLP_ENDPOINT", collector.endpoint());
    platform.set("WALLEX_TRACE_SAMPLE_RATIO", "1");
    let role = platform.start(&["command"]);
    role.ready().await;
    transfer(role.port, None).await;
    let spans = eventually(DEADLINE, "three requests and their appends", async || {
        let spans = collector.spans();
        (spans.len() >= 6).then_some(spans)
    })
    .await;
    let roots = spans.iter().filter(|span| span.parent.is_empty());
    assert_eq!(roots.count(), 3, "{spans:#?}");
    let probes = spans.iter().filter(|span| span.name.contains("/health"));
    assert_eq!(probes.count(), 0, "probes are nobody's requests");
}

/// Sends requests with more spans than may queue for the collector. Returns the duration of the slowest.
async fn load(port: u16) -> Duration {
    let client = client();
    let wallet = Uuid::now_v7();
    write(
        &client,
        port,
        "/v1/wallets",
        None,
        json!({"id": wallet, "currency": "EUR"}),
    )
    .await;
    let path = format!("/v1/wallets/{wallet}/credits");
    let credit = async || {
        let asked = Instant::now();
        write(&client, port, &path, None, json!({"amount": 1})).await;
        asked.elapsed()
    };
    let mut slowest = Duration::ZERO;
    for _ in 0..60 {
        let took = join_all((0..50).map(|_| credit())).await;
        slowest = took.into_iter().fold(slowest, Duration::max);
    }
    slowest
}

#[tokio::test]
async fn a_dead_collector_harms_no_request() {
    // It accepts connections and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://{}", mute.local_addr().unwrap());
    let mut platform = Platform::new().await;
    platform.set("WALLEX_TRACE_SAMPLE_RATIO", "1");
    platform.set("WALLEX_SHUTDOWN_GRACE_SECONDS", "0");
    for (endpoint, said) in [
        ("http://127.0.0.1:1", "The trace collector cannot be used yet"),
        (mute.as_str(), "queue full"),
    ] {
        platform.set("WALLEX_OTLP_ENDPOINT", endpoint);
        let mut role = platform.start(&["command"]);
        role.ready().await;
        let slowest = load(role.port).await;
        // A request that waited for the collector would wait for its timeout.
        assert!(slowest < Duration::from_secs(4), "{endpoint}: {slowest:?}");
        role.says(said).await;
        let warnings = role.log().matches("The trace collector").count();
        assert!(warnings < 5, "{warnings} warnings: {}", role.log());
        let asked = Instant::now();
        role.signal("-TERM");
        assert!(role.ended().await.success());
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "the end took {:?}",
            asked.elapsed()
        );
    }
}
