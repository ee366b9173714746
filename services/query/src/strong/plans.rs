//! Holds the strong read to its plan: a wallet's head, its first and its last event, whatever the journal has.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wallex_journal::schema::MIGRATIONS;
use wallex_testing::{TestDatabase, template_name};

use super::WALLET;
use crate::plans::{buffers, plan, run, run_plan, uses_only};
use crate::statement::BEGIN;

const GROW: &str = "
    INSERT INTO journal.partition (id) SELECT generate_series(0, 9);
    INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status)
    SELECT md5(w::text)::uuid, w % 10, 20, 'EUR', 0, 'active' FROM generate_series(1, 1000) w;
    INSERT INTO journal.event (partition, seq, event_id, transaction_id, wallet_id, version, type, schema_version,
                               recorded_at, actor, payload, hash)
    SELECT w % 10, v * 1000 + w, md5('e' || w || '-' || v)::uuid, md5('t' || w || '-' || v)::uuid, md5(w::text)::uuid, v,
           'wallet.credited', 1, 0, 'default', '{}', sha256('x')
    FROM generate_series(1, 1000) w, generate_series(1, 20) v;
    INSERT INTO journal.hold (hold_id, wallet_id, amount, expires_at, status)
    SELECT md5('h' || h)::uuid, md5((h % 1000 + 1)::text)::uuid, 1, h,
           CASE WHEN h % 10 = 0 THEN 'open' ELSE 'released' END FROM generate_series(1, 20000) h;
    INSERT INTO journal.personal SELECT event_id, wallet_id, decode(repeat('00', 16), 'hex'), '{}' FROM journal.event;";

async fn database() -> TestDatabase {
    let migrations = MIGRATIONS.iter().map(|one| one.sql.as_str().as_bytes());
    TestDatabase::create(&template_name("query_journal", migrations), async |url: &str| {
        let mut db = PgConnection::connect(url).await?;
        sqlx::raw_sql("CREATE SCHEMA journal").execute(&mut db).await?;
        for migration in MIGRATIONS.iter() {
            sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
                .execute(&mut db)
                .await?;
        }
        Ok(db.close().await?)
    })
    .await
}

#[tokio::test]
async fn a_strong_read_stays_on_its_indexes_as_the_journal_grows() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, "SET plan_cache_mode = force_generic_plan").await;
    run(&mut db, &format!("PREPARE wallet (uuid) AS {WALLET}")).await;
    let indexes = [
        "head_pkey",
        "head_wallet_id_partition_key",
        "partition_pkey",
        "event_wallet_id_version_key",
        "personal_pkey",
        "hold_wallet_due",
        "erasure_wallet",
    ];
    for stage in ["empty", "analyzed while empty", "grown", "grown and analyzed"] {
        match stage {
            "grown" => run(&mut db, GROW).await,
            "analyzed while empty" | "grown and analyzed" => {
                run(
                    &mut db,
                    "ANALYZE journal.event, journal.personal, journal.head, journal.hold, journal.erasure",
                )
                .await;
            }
            _ => {}
        }
        let plan = plan(&mut db, BEGIN, "wallet", "md5('7')::uuid").await;
        assert!(uses_only(&plan, &indexes), "{stage}:\n{plan}");
    }
    let read = run_plan(&mut db, BEGIN, "wallet", "md5('7')::uuid").await;
    assert!(buffers(&read) < 60, "{read}");
}
