//! A migrated database, the write routes on it, and shortcuts to use them.

use std::str::FromStr as _;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use tower::ServiceExt as _;
use wallex_command::{Batcher, BatcherConfig, CommandState, router};
use wallex_domain::Currencies;
use wallex_domain::PlatformId;
use wallex_journal::append::{Answer, Config};
use wallex_journal::schema;
use wallex_runtime::http::add_problems;
use wallex_testing::{TestDatabase, assert_described, template_name};

pub(crate) struct App {
    pub(crate) database: TestDatabase,
    pub(crate) pool: PgPool,
    pub(crate) router: Router,
    pub(crate) batcher: Batcher,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.body["code"]),
            (status, &json!(code)),
            "{}",
            self.body
        );
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
    }
}

pub(crate) fn replica(database: &TestDatabase, config: &BatcherConfig) -> (Router, Batcher) {
    replica_with(database, config, Currencies::iso_4217())
}

pub(crate) fn replica_with(
    database: &TestDatabase,
    config: &BatcherConfig,
    currencies: Currencies,
) -> (Router, Batcher) {
    let options = PgConnectOptions::from_str(database.url()).unwrap();
    let batcher = Batcher::start(&options, config).unwrap();
    (
        router(CommandState::new(
            batcher.enqueue(),
            currencies,
            PgPool::connect_lazy_with(options),
        )),
        batcher,
    )
}

pub(crate) fn config() -> BatcherConfig {
    BatcherConfig {
        writers: 2,
        queue_capacity: 1_000,
        max_batch: 500,
        timeout: Duration::from_secs(20),
        journal: Config::default(),
    }
}

impl App {
    /// The bodies of all stored answers.
    pub(crate) async fn stored_answers(&self) -> Vec<String> {
        let stored: Vec<Answer> =
            sqlx::query_as("SELECT status, packed, body, etag, position, location FROM journal.answer")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let bodies = stored
            .iter()
            .map(|answer| String::from_utf8(answer.body.to_vec()).unwrap());
        bodies.collect()
    }

    pub(crate) async fn new() -> Self {
        let migrations = schema::SCHEMA
            .migrations
            .iter()
            .map(|migration| migration.sql.as_str().as_bytes());
        let template = template_name("command", migrations);
        let database = TestDatabase::create(&template, async |url| {
            let mut db = PgConnection::connect(url).await?;
            let [cluster, namespace, name] = ["c", "n", "p"].map(str::to_owned);
            schema::migrate(
                &mut db,
                &PlatformId {
                    cluster,
                    namespace,
                    name,
                },
                false,
            )
            .await?;
            schema::add_partitions(&mut db, 4).await?;
            schema::open_partitions(&mut db).await?;
            Ok(db.close().await?)
        })
        .await;
        let pool = database.pool().await;
        let (router, batcher) = replica(&database, &config());
        Self {
            database,
            pool,
            router,
            batcher,
        }
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: Value) -> Reply {
        post(&self.router, path, key, body).await
    }

    pub(crate) async fn patch(&self, path: &str, key: &str, body: Value) -> Reply {
        let mut request = json_request(path, key, &body);
        *request.method_mut() = Method::PATCH;
        send(&self.router, request).await
    }

    pub(crate) async fn wallet(&self, key: &str, initial: i64) -> String {
        let reply = self
            .post(
                "/v1/wallets",
                key,
                json!({"currency": "EUR", "initial_balance": initial}),
            )
            .await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        reply.body["wallet"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn balance(&self, id: &str) -> i64 {
        sqlx::query_scalar("SELECT balance FROM journal.head WHERE wallet_id = $1::uuid")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

pub(crate) fn json_request(path: &str, key: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub(crate) async fn post(router: &Router, path: &str, key: &str, body: Value) -> Reply {
    send(router, json_request(path, key, &body)).await
}

/// Sends a request; whatever the answer, it must match the route's description.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    assert_described(&DESCRIPTION, method.as_str(), &path, head.status.as_u16(), &body);
    Reply {
        status: head.status,
        headers: head.headers,
        body,
    }
}

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let mut description = wallex_command::openapi();
    add_problems(&mut description);
    serde_json::to_value(description).unwrap()
});
