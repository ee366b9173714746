//! The routes, and rows as their writers would write them.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tower::ServiceExt as _;
use uuid::Uuid;
use wallex_query::{QueryState, router};
use wallex_testing::{TestDatabase, template_name};

static READ_MODEL: Migrator = sqlx::migrate!("../projector/migrations/read_model");

/// 2026-01-31T12:00:00Z.
pub(crate) const NOON: i64 = 1_769_860_800_000_000;
pub(crate) const A: Uuid = Uuid::from_u128(0xA);
pub(crate) const B: Uuid = Uuid::from_u128(0xB);
pub(crate) const NOWHERE: Uuid = Uuid::from_u128(0xFFFF);

pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) pool: PgPool,
    /// Dropped last.
    _database: TestDatabase,
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

/// A row of `read_model.entry`; by default a credit.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) wallet: Uuid,
    pub(crate) version: i64,
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) transaction: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) amount: i64,
    pub(crate) balance: i64,
    pub(crate) held_change: i64,
    pub(crate) held: i64,
    pub(crate) overdraft_limit: Option<i64>,
    pub(crate) counterparty: Option<Uuid>,
    pub(crate) hold: Option<Uuid>,
    pub(crate) reverses: Option<Uuid>,
    pub(crate) reference: Option<&'static str>,
    pub(crate) description: Option<&'static str>,
    pub(crate) metadata: Option<Value>,
    /// Microseconds after noon.
    pub(crate) at: i64,
}

impl Entry {
    pub(crate) fn new(wallet: Uuid, version: i64, kind: &'static str, amount: i64, balance: i64) -> Self {
        Self {
            wallet,
            version,
            partition: 3,
            seq: version,
            transaction: Uuid::now_v7(),
            kind,
            amount,
            balance,
            held_change: 0,
            held: 0,
            overdraft_limit: None,
            counterparty: None,
            hold: None,
            reverses: None,
            reference: None,
            description: None,
            metadata: None,
            at: version,
        }
    }

    pub(crate) fn event_id(&self) -> Uuid {
        Uuid::from_u128(self.wallet.as_u128() << 32 | u128::try_from(self.version).unwrap())
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        let migrations = [
            ("read_model", &READ_MODEL),
            ("journal", &wallex_journal::schema::MIGRATIONS),
        ];
        let bytes = migrations
            .iter()
            .flat_map(|(_, all)| all.iter().map(|one| one.sql.as_str().as_bytes()));
        let database = TestDatabase::create(&template_name("query_reads", bytes), async |url: &str| {
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
        let pool = database.pool().await;
        Self {
            router: router(QueryState::new(pool.clone(), pool.clone())),
            pool,
            _database: database,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let (head, body) = self.open(path, headers).await;
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A reply whose body is not read yet.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> (http::response::Parts, Body) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap().into_parts()
    }

    pub(crate) async fn refuses(&self, path: &str, status: u16, code: &str) {
        let reply = self.get(path).await;
        is_problem(&reply, status, code, path);
    }

    /// All pages of a list, one after the other, by a member of their items.
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

    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// A row of `read_model.wallet`.
    pub(crate) async fn wallet(
        &self,
        id: Uuid,
        partition: i32,
        seq: i64,
        version: i64,
        balance: i64,
        held: i64,
    ) {
        sqlx::query(
            "INSERT INTO read_model.wallet (wallet_id, partition, seq, version, currency, balance, held, overdraft_limit,
                 status, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'EUR', $5, $6, 0, 'active', $7, $7)
             ON CONFLICT (wallet_id) DO UPDATE SET seq = excluded.seq, version = excluded.version,
                 balance = excluded.balance, held = excluded.held",
        )
        .bind(id)
        .bind(partition)
        .bind(seq)
        .bind(version)
        .bind(balance)
        .bind(held)
        .bind(NOON)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// The entry alone, as when its wallet's row is not of interest.
    pub(crate) async fn entry(&self, entry: &Entry) {
        sqlx::query(
            "INSERT INTO read_model.entry (wallet_id, version, partition, seq, event_id, transaction_id, type, amount,
                 currency, balance_after, counterparty, reference, description, metadata, recorded_at, held_change,
                 held_after, overdraft_limit, hold_id, reverses)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'EUR', $9, $10, $11, $12, $13::jsonb, $14, $15, $16, $17, $18, $19)",
        )
        .bind(entry.wallet)
        .bind(entry.version)
        .bind(entry.partition)
        .bind(entry.seq)
        .bind(entry.event_id())
        .bind(entry.transaction)
        .bind(entry.kind)
        .bind(entry.amount)
        .bind(entry.balance)
        .bind(entry.counterparty)
        .bind(entry.reference)
        .bind(entry.description)
        .bind(entry.metadata.as_ref().map(Value::to_string))
        .bind(NOON + entry.at)
        .bind(entry.held_change)
        .bind(entry.held)
        .bind(entry.overdraft_limit)
        .bind(entry.hold)
        .bind(entry.reverses)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// The entry, and its wallet brought to it.
    pub(crate) async fn happens(&self, entry: Entry) {
        self.entry(&entry).await;
        self.wallet(
            entry.wallet,
            entry.partition,
            entry.seq,
            entry.version,
            entry.balance,
            entry.held,
        )
        .await;
    }

    /// A wallet with one creation and `version - 1` credits of 10.
    pub(crate) async fn history(&self, id: Uuid, version: i64) {
        self.happens(Entry::new(id, 1, "create", 0, 0)).await;
        for v in 2..=version {
            self.happens(Entry::new(id, v, "credit", 10, (v - 1) * 10)).await;
        }
    }

    /// As [`Self::history`], made at once.
    pub(crate) async fn long_history(&self, id: Uuid, version: i64) {
        sqlx::query(
            "INSERT INTO read_model.entry (wallet_id, version, partition, seq, event_id, transaction_id, type, amount,
                 currency, balance_after, recorded_at)
             SELECT $1, v, 3, v, md5(v::text)::uuid, md5(v::text)::uuid, CASE v WHEN 1 THEN 'create' ELSE 'credit' END,
                 CASE v WHEN 1 THEN 0 ELSE 10 END, 'EUR', (v - 1) * 10, $3 + v FROM generate_series(1, $2) v",
        )
        .bind(id)
        .bind(version)
        .bind(NOON)
        .execute(&self.pool)
        .await
        .unwrap();
        self.wallet(id, 3, version, version, (version - 1) * 10, 0).await;
    }

    pub(crate) async fn cursor(&self, partition: i32, seq: i64) {
        sqlx::query(
            "INSERT INTO read_model.cursor VALUES ($1, $2, decode(repeat('00', 32), 'hex'))
             ON CONFLICT (partition) DO UPDATE SET seq = excluded.seq",
        )
        .bind(partition)
        .bind(seq)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    pub(crate) async fn park(&self, wallet: Uuid) {
        sqlx::query("INSERT INTO read_model.parked VALUES (3, 99, $1, 'corrupt')")
            .bind(wallet)
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

/// The time `micros` after noon, as the API writes it.
pub(crate) fn time(micros: i64) -> String {
    format!("2026-01-31T12:00:00.{micros:06}Z")
}
