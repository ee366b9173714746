//! The HTTP server as clients and load balancers see it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod crowd;
mod ending;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use wallex_domain::Ailment;
use wallex_runtime::health::Health;
use wallex_runtime::http::{Code, Extension, Limits, Patience, Problem, bind, router, serve_during};
use wallex_runtime::kafka::Overview;
use wallex_runtime::{Flags, Settings};

/// More of everything than a test needs.
const ROOMY: Limits = Limits {
    connections: 100,
    memory: 64 * 1024 * 1024,
    patience: Patience {
        head: Duration::from_secs(60),
        body: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        answer: Duration::from_secs(60),
    },
};

async fn ask(app: &Router, method: &str, path: &str) -> (StatusCode, http::HeaderMap, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

fn app(routes: Router) -> Router {
    router(routes, Health::new())
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let app = app(Router::new().route("/v1/wallets", post(async || "made")));
    let (status, headers, body) = ask(&app, "GET", "/v1/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(
        body,
        json!({
            "type": "https://wallex.dev/errors/not_found", "title": "Nothing here", "status": 404,
            "detail": "Nothing is served at /v1/nothing.", "code": "not_found"
        })
    );
    let (status, headers, body) = ask(&app, "DELETE", "/v1/wallets").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers["allow"], "POST");
    assert_eq!(body["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_problem_carries_its_fields_and_when_to_retry() {
    let problem = || async {
        Problem::new(Code::QueueFull, "Try again.")
            .with(Extension::Available, 10_000)
            .retry_after(2)
    };
    let (status, headers, body) = ask(&app(Router::new().route("/full", get(problem))), "GET", "/full").await;
    assert_eq!(
        (status.as_u16(), &headers["retry-after"]),
        (503, &"2".parse().unwrap())
    );
    assert_eq!(
        (&body["code"], &body["available"], &body["status"]),
        (&json!("queue_full"), &json!(10_000), &json!(503))
    );
}

#[tokio::test]
async fn a_panic_is_answered_and_tells_nothing() {
    async fn broken() -> String {
        panic!("secret internals")
    }
    let (status, _, body) = ask(
        &app(Router::new().route("/broken", get(broken))),
        "GET",
        "/broken",
    )
    .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["code"], "internal");
    assert!(!body.to_string().contains("secret"), "{body}");
}

#[tokio::test]
async fn readiness_follows_the_checks_and_liveness_does_not() {
    let health = Health::new();
    let database = health.check("database");
    let app = router(Router::new(), health);
    let (status, _, body) = ask(&app, "GET", "/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        json!({"status": "unready", "checks": {"database": {"status": "unready", "reason": "starting"}}})
    );
    assert_eq!(ask(&app, "GET", "/health/live").await.0, StatusCode::OK);
    database.set_ready();
    let (status, _, body) = ask(&app, "GET", "/health/ready").await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("ready")));
    assert_eq!(ask(&app, "GET", "/health/database").await.0, StatusCode::OK);
    assert_eq!(ask(&app, "GET", "/health/tides").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_check_that_the_operator_has_a_name_for_shows_it() {
    let health = Health::new();
    let database = health.check("database");
    let app = router(Router::new(), health);
    database.set_ailing(Ailment::DatabaseUnreachable, "refused");
    let away = json!({"status": "unready", "reason": "refused", "code": "DatabaseUnreachable"});
    let (_, _, body) = ask(&app, "GET", "/health/ready").await;
    assert_eq!(body["checks"]["database"], away);
    assert_eq!(ask(&app, "GET", "/health/database").await.2, away);
    database.set_unready("slow");
    let slow = json!({"status": "unready", "reason": "slow"});
    assert_eq!(ask(&app, "GET", "/health/database").await.2, slow);
}

#[tokio::test]
async fn a_chore_shows_its_health_while_it_runs_where_it_can() {
    let health = Health::new();
    health
        .check("database")
        .set_ailing(Ailment::DatabaseUnreachable, "refused");
    let limits = Limits::of(&Settings::from_flags(&Flags::default()).unwrap());
    let taken = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let listen = taken.local_addr().unwrap();
    assert_eq!(serve_during(listen, async { 1 }, &health, limits).await, 1);
    drop(taken);
    let asking = async {
        let mut stream = TcpStream::connect(listen).await.unwrap();
        let request = b"GET /health/ready HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = serve_during(listen, asking, &health, limits).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("DatabaseUnreachable"),
        "{answer}"
    );
}

#[tokio::test]
async fn kafka_is_shown_and_nothing_depends_on_it() {
    let health = Health::new();
    let app = router(Router::new(), health.clone());
    let (status, headers, body) = ask(&app, "GET", "/health/kafka").await;
    assert_eq!(
        (status, &body["status"]),
        (StatusCode::OK, &json!("not_configured"))
    );
    assert_eq!(headers["cache-control"], "no-store");
    // Nobody listens there.
    let settings = Settings::from_flags(&Flags {
        kafka_bootstrap_servers: Some("127.0.0.1:1".to_owned()),
        ..Flags::default()
    });
    health.show_kafka(Overview::new(&settings.unwrap(), Vec::new()));
    let (status, _, body) = ask(&app, "GET", "/health/kafka").await;
    assert_eq!(
        (status, &body["status"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unready"))
    );
    assert!(body["reason"].as_str().unwrap().contains("no broker"), "{body}");
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(ask(&app, "GET", path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_log_level_is_nothing_to_those_from_elsewhere() {
    // Without a socket there is no loopback interface that a request could have come through.
    let app = app(Router::new());
    for method in ["GET", "PUT"] {
        let (status, _, body) = ask(&app, method, "/log-level").await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found"))
        );
    }
}

#[test]
fn what_every_role_serves_is_described() {
    let described = serde_json::to_value(wallex_runtime::http::openapi()).unwrap();
    let paths: Vec<_> = described["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/health/kafka",
            "/health/live",
            "/health/ready",
            "/health/{check}",
            "/metrics"
        ]
    );
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_what_clients_invent() {
    let app = app(Router::new().route(
        "/counted/{id}",
        get(async || "here").delete(async || StatusCode::GONE),
    ));
    for path in ["/counted/1", "/counted/2", "/counted/3"] {
        ask(&app, "GET", path).await;
    }
    ask(&app, "HEAD", "/counted/1").await;
    ask(&app, "DELETE", "/counted/1").await;
    ask(&app, "PURGE", "/counted/1").await;
    ask(&app, "GET", "/invented/path").await;
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let text = app
        .oneshot(request)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    for line in [
        r#"wallex_http_requests_total{method="GET",route="/counted/{id}",status="200"} 3"#,
        r#"wallex_http_requests_total{method="HEAD",route="/counted/{id}",status="200"} 1"#,
        r#"wallex_http_requests_total{method="DELETE",route="/counted/{id}",status="410"} 1"#,
        r#"wallex_http_requests_total{method="OTHER",route="/counted/{id}",status="405"} 1"#,
        r#"wallex_http_request_duration_seconds_count{method="GET",route="/counted/{id}"} 3"#,
        "\nwallex_http_requests_in_flight ",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains("invented") && !text.contains("PURGE"), "{text}");
}
