//! The routes on a separate database, with all schemas and no rows.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;
use tower::ServiceExt as _;
use uuid::Uuid;
use wallex_books::Books;
use wallex_postgres::for_reads;
use wallex_projections::schema::{LEDGER, READ_MODEL};
use wallex_query::{QueryState, router};
use wallex_runtime::http::add_problems;
use wallex_testing::{PostgresServer, TestDatabase, assert_described, template_name};

/// 2026-01-31T12:00:00Z.
pub(crate) const NOON: i64 = 1_769_860_800_000_000;
pub(crate) const A: Uuid = Uuid::from_u128(0xA);
pub(crate) const B: Uuid = Uuid::from_u128(0xB);
pub(crate) const NOWHERE: Uuid = Uuid::from_u128(0xFFFF);

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let mut description = wallex_query::openapi();
    add_problems(&mut description);
    serde_json::to_value(description).unwrap()
});

pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) pool: PgPool,
    /// What the routes read through, as in the roles.
    pub(crate) reads: PgPool,
    pub(crate) books: Mutex<Books>,
    /// Dropped last.
    _database: Option<TestDatabase>,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null unless `text` is JSON.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A member of each item of a list.
    pub(crate) fn items(&self, member: &str) -> Vec<Value> {
        let items = self.body["items"].as_array();
        let items = items.unwrap_or_else(|| panic!("{} {}", self.status, self.text));
        items.iter().map(|item| item[member].clone()).collect()
    }

    pub(crate) fn versions(&self) -> Vec<i64> {
        let versions = self.items("version");
        versions.iter().map(|version| version.as_i64().unwrap()).collect()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.text.lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// All schemas, including the journal's.
fn migrations() -> [(&'static str, &'static Migrator); 3] {
    [
        ("read_model", &READ_MODEL.migrations),
        ("ledger", &LEDGER.migrations),
        ("journal", &wallex_journal::schema::SCHEMA.migrations),
    ]
}

async fn migrate(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    for (schema, all) in migrations() {
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
            .execute(&mut *db)
            .await?;
        for migration in all.iter() {
            sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
                .execute(&mut *db)
                .await?;
        }
    }
    Ok(())
}

impl Api {
    pub(crate) async fn start() -> Self {
        let migrations = migrations();
        let bytes = migrations
            .iter()
            .flat_map(|(_, all)| all.iter().map(|one| one.sql.as_str().as_bytes()));
        let database = TestDatabase::create(&template_name("query_reads", bytes), async |url: &str| {
            let mut db = PgConnection::connect(url).await?;
            migrate(&mut db).await?;
            Ok(db.close().await?)
        })
        .await;
        let pool = database.pool().await;
        let reads = for_reads(&pool);
        Self {
            router: router(QueryState::new(reads.clone(), pool.clone())),
            books: Mutex::new(Books::new(pool.clone())),
            pool,
            reads,
            _database: Some(database),
        }
    }

    /// On a separate server.
    pub(crate) async fn on(server: &PostgresServer) -> Self {
        migrate(&mut server.connect().await).await.unwrap();
        let pool = PgPoolOptions::new().max_connections(5);
        let pool = pool.connect_with(server.options()).await.unwrap();
        let reads = for_reads(&pool);
        Self {
            router: router(QueryState::new(reads.clone(), pool.clone())),
            books: Mutex::new(Books::new(pool.clone())),
            pool,
            reads,
            _database: None,
        }
    }

    /// The routes' state before anything is set up.
    pub(crate) fn state(&self) -> QueryState {
        QueryState::new(self.reads.clone(), self.pool.clone())
    }

    /// From now on the routes use `state`.
    pub(crate) fn serve(&mut self, state: QueryState) {
        self.router = router(state);
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let (head, body) = self.open(path, headers).await;
        let body = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        // Whatever the answer, it must match the route's description.
        assert_described(&DESCRIPTION, "GET", path, head.status.as_u16(), &json);
        Reply {
            status: head.status,
            headers: head.headers,
            body: json,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A reply whose body has not been read yet.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> (http::response::Parts, Body) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap().into_parts()
    }

    pub(crate) async fn refuses(&self, path: &str, status: u16, code: &str) {
        self.refuses_with(path, &[], status, code).await;
    }

    pub(crate) async fn refuses_with(&self, path: &str, headers: &[(&str, &str)], status: u16, code: &str) {
        let reply = self.get_with(path, headers).await;
        is_problem(&reply, status, code, &format!("{path} {headers:?}"));
    }

    /// All pages of a list in order, reduced to one member of their items.
    pub(crate) async fn pages(&self, path: &str, member: &str) -> Vec<Value> {
        let (mut all, mut next) = (Vec::new(), path.to_owned());
        for _ in 0..1_000 {
            let reply = self.get(&next).await;
            all.extend(reply.items(member));
            match reply.body["next_cursor"].as_str() {
                Some(cursor) => next = format!("{path}&cursor={cursor}"),
                None => return all,
            }
        }
        panic!("{path} has no last page");
    }

    /// Makes sure that the journal has partitions 0..count.
    pub(crate) async fn partitions(&self, count: i32) {
        let mut db = self.pool.acquire().await.unwrap();
        wallex_journal::schema::add_partitions(&mut db, count)
            .await
            .unwrap();
    }

    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

pub(crate) fn is_problem(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(
        (reply.status.as_u16(), reply.body["code"].as_str()),
        (status, Some(code)),
        "{what}: {}",
        reply.text
    );
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
}

/// The time `micros` after noon, in the API's format.
pub(crate) fn time(micros: i64) -> String {
    format!("2026-01-31T12:00:00.{micros:06}Z")
}
