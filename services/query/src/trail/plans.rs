//! Holds the audit trail's statements to their plans: a wallet's page costs its events and the links before them,
//! in a journal of any size.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wallex_journal::schema::MIGRATIONS;
use wallex_testing::{TestDatabase, template_name};

use super::{BEGIN, EVENTS, EXISTS};
use crate::plans::{buffers, plan, run, run_plan, uses_only};

const GROW: &str = "
    INSERT INTO journal.partition (id) SELECT generate_series(0, 9);
    INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status)
    SELECT md5(w::text)::uuid, w % 10, 20, 'EUR', 0, 'active' FROM generate_series(1, 1000) w;
    INSERT INTO journal.event (partition, seq, event_id, transaction_id, wallet_id, version, type, schema_version,
                               recorded_at, actor, payload, hash)
    SELECT w % 10, v * 1000 + w, md5('e' || w || '-' || v)::uuid, md5('t' || w || '-' || v)::uuid, md5(w::text)::uuid, v,
           'wallet.credited', 1, 0, 'default', '{}', sha256('x')
    FROM generate_series(1, 1000) w, generate_series(1, 20) v;
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
async fn the_trail_stays_on_its_indexes_as_the_journal_grows() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, "SET plan_cache_mode = force_generic_plan").await;
    run(
        &mut db,
        &format!("PREPARE events (uuid, bigint, bigint) AS {EVENTS}"),
    )
    .await;
    run(&mut db, &format!("PREPARE present (uuid) AS {EXISTS}")).await;
    let values = "md5('7')::uuid, 5, 11";
    for stage in ["empty", "analyzed while empty", "grown", "grown and analyzed"] {
        match stage {
            "grown" => run(&mut db, GROW).await,
            "analyzed while empty" | "grown and analyzed" => {
                run(&mut db, "ANALYZE journal.event, journal.personal, journal.head").await;
            }
            _ => {}
        }
        let events = plan(&mut db, BEGIN, "events", values).await;
        let indexes = ["event_wallet_id_version_key", "event_pkey", "personal_pkey", "erasure_wallet"];
        assert!(uses_only(&events, &indexes), "{stage}:\n{events}");
        let present = plan(&mut db, BEGIN, "present", "md5('7')::uuid").await;
        let indexes = ["head_pkey", "head_wallet_id_partition_key"];
        assert!(uses_only(&present, &indexes), "{stage}:\n{present}");
    }
    let page = run_plan(&mut db, BEGIN, "events", values).await;
    assert!(buffers(&page) < 150, "{page}");
}
