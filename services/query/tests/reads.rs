//! The read routes on a real PostgreSQL, with rows written by SQL as the projector writes them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tower::ServiceExt as _;
use uuid::Uuid;
use wallex_query::{QueryState, router};
use wallex_testing::{TestDatabase, template_name};

static MIGRATIONS: Migrator = sqlx::migrate!("../projector/migrations/read_model");
/// 2026-01-31T12:00:00Z.
const NOON: i64 = 1_769_860_800_000_000;
const A: Uuid = Uuid::from_u128(0xA);
const B: Uuid = Uuid::from_u128(0xB);
const NOWHERE: Uuid = Uuid::from_u128(0xFFFF);

struct Api {
    router: Router,
    pool: PgPool,
    /// Dropped last.
    _database: TestDatabase,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Api {
    async fn start() -> Self {
        let database = TestDatabase::create(
            &template_name("query", MIGRATIONS.iter().map(|one| one.sql.as_str().as_bytes())),
            async |url: &str| {
                let mut db = PgConnection::connect(url).await?;
                sqlx::raw_sql("CREATE SCHEMA read_model").execute(&mut db).await?;
                for migration in MIGRATIONS.iter() {
                    sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
                        .execute(&mut db)
                        .await?;
                }
                Ok(db.close().await?)
            },
        )
        .await;
        let pool = database.pool().await;
        Self {
            router: router(QueryState::new(pool.clone())),
            pool,
            _database: database,
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.get_from(path, None).await
    }

    async fn get_from(&self, path: &str, min_position: Option<&str>) -> Reply {
        let mut request = Request::get(path);
        if let Some(position) = min_position {
            request = request.header("Wallex-Min-Position", position);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    async fn refuses(&self, path: &str, status: u16, code: &str) {
        let reply = self.get(path).await;
        reply_is(&reply, status, code, path);
    }

    async fn wallet(&self, id: Uuid, partition: i32, seq: i64, version: i64, balance: i64) {
        sqlx::query(
            "INSERT INTO read_model.wallet VALUES ($1,$2,$3,$4,NULL,'EUR',$5,0,0,'active',NULL,NULL,NULL,$6,$6)",
        )
        .bind(id)
        .bind(partition)
        .bind(seq)
        .bind(version)
        .bind(balance)
        .bind(NOON)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    #[expect(clippy::too_many_arguments, reason = "a row")]
    async fn entry(
        &self,
        wallet: Uuid,
        version: i64,
        partition: i32,
        seq: i64,
        transaction: Uuid,
        kind: &str,
        amount: i64,
        balance: i64,
        counterparty: Option<Uuid>,
    ) {
        sqlx::query(
            "INSERT INTO read_model.entry VALUES ($1,$2,$3,$4,$5,$6,$7,$8,'EUR',$9,$10,NULL,NULL,NULL,$11)",
        )
        .bind(wallet)
        .bind(version)
        .bind(partition)
        .bind(seq)
        .bind(Uuid::from_u128(
            wallet.as_u128() << 32 | u128::try_from(version).unwrap(),
        ))
        .bind(transaction)
        .bind(kind)
        .bind(amount)
        .bind(balance)
        .bind(counterparty)
        .bind(NOON + version)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// A wallet with one creation and `version - 1` credits of 10.
    async fn history(&self, id: Uuid, version: i64) {
        self.wallet(id, 3, version, version, (version - 1) * 10).await;
        self.entry(id, 1, 3, 1, Uuid::now_v7(), "create", 0, 0, None)
            .await;
        for v in 2..=version {
            self.entry(id, v, 3, v, Uuid::now_v7(), "credit", 10, (v - 1) * 10, None)
                .await;
        }
    }

    async fn cursor(&self, partition: i32, seq: i64) {
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

    async fn park(&self, wallet: Uuid) {
        sqlx::query("INSERT INTO read_model.parked VALUES (3, 99, $1, 'corrupt')")
            .bind(wallet)
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

fn reply_is(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!(
        (reply.status.as_u16(), reply.body["code"].as_str()),
        (status, Some(code)),
        "{what}: {}",
        reply.body
    );
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
}

#[tokio::test]
async fn a_wallet_shows_its_balance_and_version() {
    let api = Api::start().await;
    sqlx::query(
        "INSERT INTO read_model.wallet VALUES
         ($1,3,1042,7,'customer-7','EUR',1500,200,50,'active','Ada','main','{\"tier\": \"gold\"}',$2,$2 + 1)",
    )
    .bind(A)
    .bind(NOON)
    .execute(&api.pool)
    .await
    .unwrap();
    let reply = api.get(&format!("/v1/wallets/{A}")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("etag"), "\"7\"");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(
        reply.body,
        json!({
            "id": A, "external_id": "customer-7", "owner": "Ada", "currency": "EUR",
            "balance": 1500, "held": 200, "available": 1300, "overdraft_limit": 50, "version": 7,
            "status": "active", "description": "main", "metadata": {"tier": "gold"},
            "created_at": "2026-01-31T12:00:00.000000Z", "updated_at": "2026-01-31T12:00:00.000001Z",
            "position": "3:1042",
        })
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let api = Api::start().await;
    api.refuses(&format!("/v1/wallets/{NOWHERE}"), 404, "wallet_not_found")
        .await;
    api.refuses(
        &format!("/v1/wallets/{NOWHERE}/transactions"),
        404,
        "wallet_not_found",
    )
    .await;
    api.refuses(
        &format!("/v1/transactions/{NOWHERE}"),
        404,
        "transaction_not_found",
    )
    .await;
}

#[tokio::test]
async fn a_history_is_read_page_by_page_and_new_entries_do_not_shift_it() {
    let api = Api::start().await;
    api.history(A, 7).await;
    let path = format!("/v1/wallets/{A}/transactions?limit=3");
    let mut versions = Vec::new();
    let mut next = path.clone();
    for page in 1.. {
        let reply = api.get(&next).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        versions.extend(
            reply.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["version"].as_i64().unwrap()),
        );
        if page == 1 {
            api.entry(A, 8, 3, 8, Uuid::now_v7(), "credit", 10, 70, None)
                .await;
        }
        match reply.body["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(versions, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn an_entry_shows_what_happened() {
    let api = Api::start().await;
    api.history(A, 1).await;
    let transaction = Uuid::now_v7();
    api.entry(A, 2, 3, 55, transaction, "transfer_out", -40, 60, Some(B))
        .await;
    let reply = api.get(&format!("/v1/wallets/{A}/transactions?limit=1")).await;
    assert_eq!(
        reply.body["items"],
        json!([{
            "transaction_id": transaction, "event_id": Uuid::from_u128(0xA_0000_0002), "type": "transfer_out",
            "amount": 40, "direction": "out", "currency": "EUR", "balance_after": 60, "version": 2,
            "counterparty": B, "recorded_at": "2026-01-31T12:00:00.000002Z", "position": "3:55",
        }])
    );
    assert!(reply.body["next_cursor"].is_string());
}

#[tokio::test]
async fn a_full_last_page_has_no_next() {
    let api = Api::start().await;
    api.history(A, 50).await;
    let reply = api.get(&format!("/v1/wallets/{A}/transactions")).await;
    assert_eq!(reply.body["items"].as_array().unwrap().len(), 50);
    assert_eq!(reply.body["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_transfer_is_complete_once_both_legs_are_in() {
    let api = Api::start().await;
    let transaction = Uuid::now_v7();
    let path = format!("/v1/transactions/{transaction}");
    api.entry(B, 2, 7, 88, transaction, "transfer_in", 40, 40, Some(A))
        .await;
    let reply = api.get(&path).await;
    assert_eq!(
        (&reply.body["complete"], &reply.body["type"]),
        (&json!(false), &json!("transfer"))
    );

    api.entry(A, 2, 3, 55, transaction, "transfer_out", -40, 60, Some(B))
        .await;
    let reply = api.get(&path).await;
    assert_eq!(
        (&reply.body["complete"], &reply.body["amount"]),
        (&json!(true), &json!(40))
    );
    let wallets: Vec<_> = reply.body["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["wallet_id"])
        .collect();
    assert_eq!(wallets, [&json!(A), &json!(B)], "the source comes first");
}

#[tokio::test]
async fn a_credit_is_complete_by_itself() {
    let api = Api::start().await;
    let transaction = Uuid::now_v7();
    api.entry(A, 2, 3, 55, transaction, "credit", 40, 60, None).await;
    let reply = api.get(&format!("/v1/transactions/{transaction}")).await;
    assert_eq!(
        (&reply.body["complete"], &reply.body["type"]),
        (&json!(true), &json!("credit"))
    );
}

#[tokio::test]
async fn reads_of_a_parked_wallet_say_stale() {
    let api = Api::start().await;
    api.history(A, 2).await;
    let transaction = Uuid::now_v7();
    api.entry(B, 2, 7, 88, transaction, "transfer_in", 40, 40, Some(A))
        .await;
    let paths = [
        format!("/v1/wallets/{A}"),
        format!("/v1/wallets/{A}/transactions"),
        format!("/v1/transactions/{transaction}"),
    ];
    for path in &paths {
        assert_eq!(api.get(path).await.body.get("stale"), None, "{path}");
    }
    api.park(A).await;
    for path in &paths {
        assert_eq!(api.get(path).await.body["stale"], json!(true), "{path}");
    }
}

#[tokio::test]
async fn a_wallet_parked_from_its_first_event_is_not_denied() {
    let api = Api::start().await;
    api.park(A).await;
    api.refuses(&format!("/v1/wallets/{A}"), 503, "unavailable").await;
    api.refuses(&format!("/v1/wallets/{A}/transactions"), 503, "unavailable")
        .await;
}

#[tokio::test]
async fn what_is_malformed_is_refused() {
    let api = Api::start().await;
    api.history(A, 3).await;
    api.history(B, 3).await;
    let page = api.get(&format!("/v1/wallets/{B}/transactions?limit=1")).await;
    let other = page.body["next_cursor"].as_str().unwrap();
    let list = format!("/v1/wallets/{A}/transactions");
    for path in [
        "/v1/wallets/7".to_owned(),
        format!("/v1/wallets/{}", A.simple()),
        "/v1/wallets/%FF".to_owned(),
        format!("/v1/wallets/{A}?expand=all"),
        "/v1/transactions/x".to_owned(),
        format!("{list}?limit=0"),
        format!("{list}?limit=201"),
        format!("{list}?limit=%2B5"),
        format!("{list}?limit="),
        format!("{list}?limit=5&limit=5"),
        format!("{list}?offset=5"),
    ] {
        api.refuses(&path, 422, "validation_failed").await;
    }
    for cursor in ["", "x", &other[1..], other] {
        api.refuses(&format!("{list}?cursor={cursor}"), 400, "invalid_cursor")
            .await;
    }
    for position in ["", "3", "3:x", "3:-1", "3:1,"] {
        let reply = api.get_from(&format!("/v1/wallets/{A}"), Some(position)).await;
        reply_is(&reply, 400, "precondition_malformed", position);
    }
}

#[tokio::test]
async fn a_read_waits_for_the_position_it_needs() {
    let api = Api::start().await;
    api.wallet(A, 3, 1042, 2, 100).await;
    api.cursor(3, 1041).await;
    api.cursor(7, 88).await;
    let path = format!("/v1/wallets/{A}");
    let readers = async {
        // More readers than the pool has connections: nobody may hold one while it waits.
        let readers = (0..20).map(|_| api.get_from(&path, Some("3:1042,7:88")));
        futures::future::join_all(readers).await
    };
    let projector = async {
        tokio::task::yield_now().await;
        api.cursor(3, 1042).await;
    };
    let (replies, ()) = tokio::join!(readers, projector);
    for reply in replies {
        assert_eq!(
            (reply.status, &reply.body["balance"]),
            (StatusCode::OK, &json!(100))
        );
    }
}

#[tokio::test]
async fn a_position_that_does_not_come_is_a_503_after_two_seconds() {
    let api = Api::start().await;
    api.wallet(A, 3, 5, 2, 100).await;
    api.cursor(3, 5).await;
    let begin = Instant::now();
    let path = format!("/v1/wallets/{A}");
    let (late, unknown) = tokio::join!(
        api.get_from(&path, Some("3:6")),
        api.get_from(&path, Some("250:1"))
    );
    assert!((Duration::from_millis(1_900)..Duration::from_secs(6)).contains(&begin.elapsed()));
    for reply in [&late, &unknown] {
        reply_is(reply, 503, "position_not_reached", "late");
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(
        (&late.body["wanted"], &late.body["reached"]),
        (&json!("3:6"), &json!("3:5"))
    );
    // And what is there already is answered at once.
    assert_eq!(api.get_from(&path, Some("3:5")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_row_this_build_does_not_know_is_no_guess() {
    let api = Api::start().await;
    api.history(A, 1).await;
    api.entry(A, 2, 3, 2, Uuid::now_v7(), "holds.captured", 1, 1, None)
        .await;
    api.refuses(&format!("/v1/wallets/{A}/transactions"), 500, "internal")
        .await;
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_503() {
    let api = Api::start().await;
    api.pool.close().await;
    api.refuses(&format!("/v1/wallets/{A}"), 503, "unavailable").await;
}

#[test]
fn every_route_is_described() {
    let api = serde_json::to_value(wallex_query::openapi()).unwrap();
    for path in [
        "/v1/wallets/{id}",
        "/v1/wallets/{id}/transactions",
        "/v1/transactions/{id}",
    ] {
        assert!(
            api["paths"][path]["get"]["responses"]["200"].is_object(),
            "{path}"
        );
    }
    for schema in [
        "Wallet",
        "EntryPage",
        "Entry",
        "Transaction",
        "TransactionEntry",
        "Problem",
    ] {
        assert!(api["components"]["schemas"][schema].is_object(), "{schema}");
    }
}
