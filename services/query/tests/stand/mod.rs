//! A database with all schemas and the read routes on it; rows are written by SQL as their writers write them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests; each uses a part"
)]

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tower::ServiceExt as _;
use uuid::Uuid;
use wallex_platform::redis::Accelerator;
use wallex_platform::{Flags, Settings};
use wallex_query::{QueryState, router};
use wallex_testing::{TestDatabase, template_name};

static READ_MODEL: Migrator = sqlx::migrate!("../projector/migrations/read_model");
static LEDGER: Migrator = sqlx::migrate!("../projector/migrations/ledger");

/// 2026-01-31T12:00:00Z.
pub const NOON: i64 = 1_769_860_800_000_000;
pub const A: Uuid = Uuid::from_u128(0xA);
pub const B: Uuid = Uuid::from_u128(0xB);
pub const NOWHERE: Uuid = Uuid::from_u128(0xFFFF);

pub struct Stand {
    pub pool: PgPool,
    /// Dropped last.
    _database: TestDatabase,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply {
        status: head.status,
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

pub async fn refused(router: &Router, path: &str, headers: &[(&str, &str)], status: u16, code: &str) {
    let reply = get(router, path, headers).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body["code"].as_str()),
        (status, Some(code)),
        "{path} {headers:?}: {}",
        reply.body
    );
    assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
}

pub fn accelerator(url: &str) -> Accelerator {
    Accelerator::connect(
        &Settings::from_flags(&Flags {
            redis_url: Some(url.to_owned()),
            ..Flags::default()
        })
        .unwrap(),
    )
}

impl Stand {
    pub async fn set_up() -> Self {
        let migrations = [
            ("read_model", &READ_MODEL),
            ("ledger", &LEDGER),
            ("journal", &wallex_journal::schema::MIGRATIONS),
        ];
        let bytes = migrations
            .iter()
            .flat_map(|(_, all)| all.iter().map(|one| one.sql.as_str().as_bytes()));
        let database = TestDatabase::create(&template_name("query_all", bytes), async |url: &str| {
            let mut db = PgConnection::connect(url).await?;
            for (schema, all) in migrations {
                sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
                    .execute(&mut db)
                    .await?;
                for migration in all.iter() {
                    sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
                        .execute(&mut db)
                        .await?;
                }
            }
            Ok(db.close().await?)
        })
        .await;
        Self {
            pool: database.pool().await,
            _database: database,
        }
    }

    pub fn state(&self) -> QueryState {
        QueryState::new(self.pool.clone(), self.pool.clone())
    }

    pub fn router(&self) -> Router {
        router(self.state())
    }

    /// Brings the wallet to a version, its partition's cursor to `seq`, both in one transaction, as the projector does.
    pub async fn wallet(&self, id: Uuid, seq: i64, version: i64, balance: i64) {
        let mut db = self.pool.begin().await.unwrap();
        sqlx::query(
            "INSERT INTO read_model.wallet VALUES ($1,3,$2,$3,NULL,'EUR',$4,0,0,'active','Ada',NULL,NULL,$5,$5)
             ON CONFLICT (wallet_id) DO UPDATE
                SET seq = excluded.seq, version = excluded.version, balance = excluded.balance",
        )
        .bind(id)
        .bind(seq)
        .bind(version)
        .bind(balance)
        .bind(NOON)
        .execute(&mut *db)
        .await
        .unwrap();
        cursor(&mut db, "read_model", 3, seq).await;
        db.commit().await.unwrap();
    }

    /// Adds versions `from ..= to` of credits of 10 to the wallet's history, and brings the wallet there.
    pub async fn credits(&self, id: Uuid, from: i64, to: i64) {
        let mut db = self.pool.begin().await.unwrap();
        for version in from..=to {
            sqlx::query(
                "INSERT INTO read_model.entry (wallet_id, version, partition, seq, event_id, transaction_id, type, amount,
                     currency, balance_after, recorded_at)
                 VALUES ($1, $2, 3, $2, $3, $3, CASE $2 WHEN 1 THEN 'create' ELSE 'credit' END, 10, 'EUR', $2 * 10, $4 + $2)",
            )
            .bind(id)
            .bind(version)
            .bind(Uuid::now_v7())
            .bind(NOON)
            .execute(&mut *db)
            .await
            .unwrap();
        }
        sqlx::query(
            "INSERT INTO read_model.wallet VALUES ($1,3,$2,$2,NULL,'EUR',$2 * 10,0,0,'active',NULL,NULL,NULL,$3,$3)
             ON CONFLICT (wallet_id) DO UPDATE
                SET seq = excluded.seq, version = excluded.version, balance = excluded.balance",
        )
        .bind(id)
        .bind(to)
        .bind(NOON)
        .execute(&mut *db)
        .await
        .unwrap();
        cursor(&mut db, "read_model", 3, to).await;
        db.commit().await.unwrap();
    }

    pub async fn cursor(&self, schema: &str, partition: i32, seq: i64) {
        cursor(&mut self.pool.acquire().await.unwrap(), schema, partition, seq).await;
    }

    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

async fn cursor(db: &mut PgConnection, schema: &str, partition: i32, seq: i64) {
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {schema}.cursor VALUES ($1, $2, decode(repeat('00', 32), 'hex'))
         ON CONFLICT (partition) DO UPDATE SET seq = excluded.seq"
    )))
    .bind(partition)
    .bind(seq)
    .execute(db)
    .await
    .unwrap();
}
