//! The HTTP server as a client and a load balancer meet it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use wallex_platform::CancellationToken;
use wallex_platform::health::Health;
use wallex_platform::http::{Problem, ServeError, bind, router, serve, serve_on, serve_starting};
use wallex_testing::eventually;

const DEADLINE: Duration = Duration::from_secs(10);

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
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "queue_full",
            "Too busy",
            "Try again.",
        )
        .with("waiting", 10_000)
        .retry_after(2)
    };
    let (status, headers, body) = ask(&app(Router::new().route("/full", get(problem))), "GET", "/full").await;
    assert_eq!(
        (status.as_u16(), &headers["retry-after"]),
        (503, &"2".parse().unwrap())
    );
    assert_eq!(
        (&body["code"], &body["waiting"], &body["status"]),
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

/// A server on a port of its own, with a handler that answers when it is told to.
struct Server {
    address: SocketAddr,
    entered: Arc<Notify>,
    release: Arc<Notify>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(drain: Duration) -> Self {
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
        let task = tokio::spawn(serve_on(listener, app, Health::new(), shutdown.clone(), drain));
        Self {
            address,
            entered,
            release,
            shutdown,
            task,
        }
    }

    /// A request over a connection of its own.
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
    let server = Server::start(DEADLINE).await;
    // A connection that is idle must not keep the process.
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
    let server = Server::start(Duration::from_millis(100)).await;
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

#[tokio::test]
async fn http2_is_spoken_without_asking_first() {
    let server = Server::start(DEADLINE).await;
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
    let server = Server::start(DEADLINE).await;
    let error = serve(
        server.address,
        Router::new(),
        Health::new(),
        CancellationToken::new(),
        DEADLINE,
    )
    .await
    .unwrap_err();
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
    // A port of our own: taken, and given back right before the server takes it.
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
        DEADLINE,
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
