//! Checks that what a projector does uses indexes. The steps run as in production, on a connection that saw the tables
//! empty and keeps its plans; the server's own statistics show sequential scans.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;
use wallex_domain::{EventData, Mark, Partition, PersonalData, PlatformId, WalletId};
use wallex_journal::{Event, Hash, check, read};
use wallex_projections::cursor::Cursors;
use wallex_projections::projection::BEGIN;
use wallex_projections::{Ledger, Projected, Projection, ReadModel, schema};
use wallex_testing::{TestDatabase, template_name};

/// 100,000 rows in each table that grows large.
const GROW: &str = "
    SET session_replication_role = replica;
    INSERT INTO read_model.wallet
    SELECT md5(w::text)::uuid, 0, w, 1, NULL, 'EUR', 0, 0, 0, 'active', NULL, NULL, NULL, 0, 0
      FROM generate_series(1, 100000) w;
    INSERT INTO read_model.parked
    SELECT 0, w, md5(w::text)::uuid, 'x' FROM generate_series(1, 100000) w;
    INSERT INTO read_model.entry
    SELECT md5((w % 100)::text)::uuid, w, 0, w, md5('e' || w)::uuid, md5('t' || w)::uuid, 'transfer_in', 1, 'EUR', 0,
           lpad((3 + w / 100 % 2)::text, 32, '0')::uuid, NULL, 'x', NULL, 0
      FROM generate_series(1, 100000) w;
    INSERT INTO read_model.hold
    SELECT md5(w::text)::uuid, md5(w::text)::uuid, 1, 0, 'EUR', 'open', NULL, NULL, 1, 0, 0
      FROM generate_series(1, 100000) w;
    INSERT INTO read_model.erasure SELECT md5(w::text)::uuid, 0, w FROM generate_series(1, 100000) w;
    INSERT INTO ledger.account_total SELECT 'wallet:' || w, 'EUR', 0, 0, 0 FROM generate_series(1, 100000) w;
    INSERT INTO journal.event
    SELECT 0, w, md5('e' || w)::uuid, md5(w::text)::uuid, md5(w::text)::uuid, 1, 'x', 1, 0, '', NULL, ''::bytea,
           decode(repeat('00', 32), 'hex') FROM generate_series(1000, 100000) w;
    INSERT INTO journal.personal
    SELECT md5('e' || w)::uuid, md5(w::text)::uuid, decode(repeat('00', 16), 'hex'), '{}'::bytea
      FROM generate_series(1000, 100000) w;
    SET session_replication_role = DEFAULT;";

const ANALYZE: &str = "ANALYZE read_model.wallet, read_model.parked, read_model.entry, read_model.hold, \
                       read_model.erasure, ledger.account_total, journal.event, journal.personal";

/// Rows of one table that a step on a few events may read. Reading an index from end to end, or all entries of a busy
/// wallet, takes more.
const FEW_ROWS: i64 = 200;

async fn database() -> TestDatabase {
    let journal = wallex_journal::schema::SCHEMA.migrations.iter();
    let own = schema::all().flat_map(|schema| schema.migrations.iter());
    let migrations = journal
        .chain(own)
        .map(|migration| migration.sql.as_str().as_bytes());
    TestDatabase::create(&template_name("plans", migrations), async |url: &str| {
        let mut db = PgConnection::connect(url).await?;
        let platform = PlatformId {
            cluster: "local".to_owned(),
            namespace: "default".to_owned(),
            name: "test".to_owned(),
        };
        wallex_journal::schema::migrate(&mut db, &platform, false).await?;
        schema::migrate(&mut db).await?;
        db.close().await?;
        Ok(())
    })
    .await
}

async fn run(db: &mut PgConnection, statements: &'static str) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(db)
        .await
        .unwrap();
}

/// Tables that this transaction has read whole, or too much of. The cursor is only a handful of rows.
async fn scanned(db: &mut PgConnection) -> Vec<String> {
    sqlx::query(
        "SELECT relname::text FROM pg_stat_xact_user_tables
          WHERE (seq_scan > 0 OR idx_tup_fetch > $1)
            AND schemaname IN ('journal', 'ledger', 'read_model') AND relname <> 'cursor'",
    )
    .bind(FEW_ROWS)
    .fetch_all(db)
    .await
    .unwrap()
    .iter()
    .map(|row| row.get(0))
    .collect()
}

/// A counterparty with a thousand entries, all with the wallets of the last steps.
const BUSY: &str = "md5('1')::uuid";

/// The life of one wallet: type and payload of its events, one batch each.
fn life(hold: Uuid, busy: Uuid) -> [(&'static str, serde_json::Value); 8] {
    [
        ("wallet.created", json!({"initial_balance": 9, "balance": 9})),
        ("wallet.credited", json!({"amount": 1, "balance": 10})),
        (
            "transfer.debited",
            json!({"amount": 1, "balance": 9, "counterparty": busy, "position": "0:1", "counterparty_position": "0:2"}),
        ),
        ("hold.placed", json!({"hold_id": hold, "amount": 3, "balance": 9})),
        (
            "hold.captured",
            json!({"hold_id": hold, "amount": 2, "released": 1, "balance": 7}),
        ),
        (
            "wallet.overdraft_limit_set",
            json!({"overdraft_limit": 5, "balance": 7}),
        ),
        ("wallet.frozen", json!({"balance": 7})),
        ("wallet.personal_data_erased", json!({"balance": 7})),
    ]
}

fn projected(
    wallet: Uuid,
    seq: i64,
    version: i64,
    event_type: &str,
    mut payload: serde_json::Value,
) -> Projected {
    payload["currency"] = json!("EUR");
    let payload = serde_json::to_vec(&payload).unwrap();
    let data = EventData::decode(event_type, 1, &payload).unwrap();
    let event = Event {
        event_id: Uuid::now_v7(),
        transaction_id: Uuid::now_v7(),
        partition: Partition(0),
        seq,
        wallet_id: WalletId(wallet),
        version,
        event_type: event_type.to_owned(),
        schema_version: 1,
        recorded_at: 0,
        actor: String::new(),
        traceparent: None,
        payload: payload.into(),
        prev_hash: Hash::GENESIS,
        hash: Hash::GENESIS,
    };
    let personal = PersonalData {
        description: Some("rent".to_owned()),
        ..PersonalData::default()
    };
    Projected {
        event,
        data,
        personal: Some(personal),
    }
}

/// Everything a step does, on one connection.
async fn step(db: &mut PgConnection, n: i64) {
    let wallet = Uuid::from_u128(n.unsigned_abs().into());
    let busy = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {BUSY}")))
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let mut tx = db.begin_with(BEGIN).await.unwrap();
    let isolation: String = sqlx::query_scalar("SHOW transaction_isolation")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(isolation, "read committed");
    for ((event_type, payload), version) in life(wallet, busy).into_iter().zip(1..) {
        let events = [projected(wallet, 100 * n + version, version, event_type, payload)];
        ReadModel.apply(&mut tx, &events, &[]).await.unwrap();
        Ledger.apply(&mut tx, &events, &[]).await.unwrap();
        assert_eq!(scanned(&mut tx).await, [""; 0], "at {event_type}");
    }
    Cursors::of("read_model")
        .parked_wallets(&mut tx, vec![wallet])
        .await
        .unwrap();
    assert_eq!(scanned(&mut tx).await, [""; 0], "in the projection");
    tx.commit().await.unwrap();

    let mut tx = db.begin_with(read::BEGIN).await.unwrap();
    read::events(&mut *tx, Partition(0), 5_000, 10).await.unwrap();
    read::personal(&mut *tx, &[wallet]).await.unwrap();
    let tip = Mark {
        seq: 5_000,
        hash: Hash::GENESIS,
    };
    check::hashes(&mut tx, [(Partition(0), tip)].into_iter())
        .await
        .unwrap();
    assert_eq!(scanned(&mut tx).await, [""; 0], "in the journal");
    tx.commit().await.unwrap();
}

/// On a connection of its own: its settings would make another connection forget its plans.
async fn grow(database: &TestDatabase) {
    run(&mut database.connection().await, GROW).await;
}

/// A connection that plans a statement once, in a session whose default isolation level is another one.
async fn connection(database: &TestDatabase) -> PgConnection {
    let mut db = database.connection().await;
    run(
        &mut db,
        "SET plan_cache_mode = force_generic_plan; SET default_transaction_isolation = 'serializable'",
    )
    .await;
    db
}

#[tokio::test]
async fn statements_stay_on_their_indexes_as_the_tables_grow() {
    let database = database().await;
    let mut db = connection(&database).await;
    step(&mut db, 1).await;
    run(&mut db, ANALYZE).await;
    step(&mut db, 2).await;
    grow(&database).await;
    step(&mut db, 3).await;
    run(&mut db, ANALYZE).await;
    step(&mut db, 4).await;
}

/// As when a new read model is being filled.
#[tokio::test]
async fn statements_stay_on_their_indexes_before_anybody_has_analyzed_the_tables() {
    let database = database().await;
    let mut db = connection(&database).await;
    step(&mut db, 1).await;
    grow(&database).await;
    step(&mut db, 3).await;
}
