//! Holds the hot statements to their indexes: run as they run, on a connection that met the tables while
//! they were empty and keeps its plans, and watched through the server's own count of whole scans.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;
use wallex_domain::{EventData, Partition, WalletId};
use wallex_journal::platform_id::PlatformId;
use wallex_journal::{Event, Hash, read};
use wallex_testing::{TestDatabase, template_name};

use crate::applier::{BEGIN, VERIFY};
use crate::cursor::Cursors;
use crate::projection::{Ledger, Projected, Projection, ReadModel};
use crate::schema;

/// 100,000 rows where there will be most.
const GROW: &str = "
    SET session_replication_role = replica;
    INSERT INTO read_model.wallet
    SELECT md5(w::text)::uuid, 0, w, 1, NULL, 'EUR', 0, 0, 0, 'active', NULL, NULL, NULL, 0, 0
      FROM generate_series(1, 100000) w;
    INSERT INTO read_model.parked
    SELECT 0, w, md5(w::text)::uuid, 'x' FROM generate_series(1, 100000) w;
    INSERT INTO ledger.account_total SELECT 'wallet:' || w, 'EUR', 0, 0, 0 FROM generate_series(1, 100000) w;
    INSERT INTO journal.event
    SELECT 0, w, md5('e' || w)::uuid, md5(w::text)::uuid, md5(w::text)::uuid, 1, 'x', 1, 0, '', NULL, ''::bytea,
           decode(repeat('00', 32), 'hex') FROM generate_series(1000, 100000) w;
    INSERT INTO journal.personal
    SELECT md5('e' || w)::uuid, md5(w::text)::uuid, decode(repeat('00', 16), 'hex'), '{}'::bytea
      FROM generate_series(1000, 100000) w;
    SET session_replication_role = DEFAULT;";

const ANALYZE: &str = "ANALYZE read_model.wallet, read_model.parked, ledger.account_total, journal.event, \
                       journal.personal";

async fn database() -> TestDatabase {
    let journal = wallex_journal::schema::MIGRATIONS.iter();
    let own = schema::MIGRATIONS
        .iter()
        .flat_map(|(_, migrations)| migrations.iter());
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

/// Tables that this transaction has read whole. The cursor is a handful of rows.
async fn scanned(db: &mut PgConnection) -> Vec<String> {
    sqlx::query(
        "SELECT relname::text FROM pg_stat_xact_user_tables
          WHERE seq_scan > 0 AND schemaname IN ('journal', 'ledger', 'read_model') AND relname <> 'cursor'",
    )
    .fetch_all(db)
    .await
    .unwrap()
    .iter()
    .map(|row| row.get(0))
    .collect()
}

fn projected(wallet: u128, version: i64, event_type: &str, payload: &'static str) -> Projected {
    let event = Event {
        event_id: Uuid::now_v7(),
        transaction_id: Uuid::now_v7(),
        partition: Partition(0),
        seq: i64::try_from(wallet).unwrap() * 2 + version,
        wallet_id: WalletId(Uuid::from_u128(wallet)),
        version,
        event_type: event_type.to_owned(),
        schema_version: 1,
        recorded_at: 0,
        actor: String::new(),
        traceparent: None,
        payload: Bytes::from_static(payload.as_bytes()),
        prev_hash: Hash::GENESIS,
        hash: Hash::GENESIS,
    };
    let data = EventData::decode(event_type, 1, payload.as_bytes()).unwrap();
    Projected {
        event,
        data,
        personal: None,
    }
}

/// Everything a step does, on one connection.
async fn step(db: &mut PgConnection, wallet: u128) {
    let created = [projected(
        wallet,
        1,
        "wallet.created",
        r#"{"currency":"EUR","initial_balance":9,"balance":9}"#,
    )];
    let credited = [projected(
        wallet,
        2,
        "wallet.credited",
        r#"{"amount":1,"currency":"EUR","balance":10}"#,
    )];
    let mut tx = db.begin_with(BEGIN).await.unwrap();
    for events in [&created, &credited] {
        ReadModel.apply(&mut tx, events).await.unwrap();
        Ledger.apply(&mut tx, events).await.unwrap();
    }
    Cursors::of("read_model")
        .parked_wallets(&mut tx, vec![Uuid::from_u128(wallet)])
        .await
        .unwrap();
    assert_eq!(scanned(&mut tx).await, [""; 0], "in the projection");
    tx.commit().await.unwrap();

    let mut tx = db.begin_with(read::BEGIN).await.unwrap();
    read::events(&mut *tx, Partition(0), 5_000, 10).await.unwrap();
    read::personal(&mut *tx, &[Uuid::from_u128(wallet)])
        .await
        .unwrap();
    sqlx::query(VERIFY)
        .bind(vec![0])
        .bind(vec![5_000_i64])
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(scanned(&mut tx).await, [""; 0], "in the journal");
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn hot_statements_stay_on_their_indexes_as_the_tables_grow() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, "SET plan_cache_mode = force_generic_plan").await;
    step(&mut db, 1).await;
    run(&mut db, ANALYZE).await;
    step(&mut db, 2).await;
    run(&mut db, GROW).await;
    step(&mut db, 3).await;
    run(&mut db, ANALYZE).await;
    step(&mut db, 4).await;
}
