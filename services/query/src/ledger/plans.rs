//! Holds the ledger's statements to their plans, as `crate::plans` does those of the read model.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wallex_testing::{TestDatabase, template_name};

use super::statement::{ACCOUNT_POSTINGS, PARKED, TOTALS, TRANSACTION_POSTINGS};
use crate::plans::{buffers, plan, run, run_plan, uses_only};
use crate::statement::BEGIN;

static MIGRATIONS: Migrator = sqlx::migrate!("../projector/migrations/ledger");

/// Name, statement, types and values of its parameters, and the indexes it may use.
const STATEMENTS: [(&str, &str, &str, &str, &[&str]); 4] = [
    (
        "totals",
        TOTALS,
        "text",
        "'external:EUR'",
        &["account_total_pkey"],
    ),
    ("parked", PARKED, "uuid", "md5('7')::uuid", &["parked_wallet"]),
    (
        "postings",
        ACCOUNT_POSTINGS,
        "text, bigint, bigint, int, bigint, smallint, bigint",
        "'external:EUR', 0, 9223372036854775807, 0, 0, 0::smallint, 51",
        &["posting_source", "posting_destination"],
    ),
    (
        "of_transaction",
        TRANSACTION_POSTINGS,
        "uuid",
        "md5('t7')::uuid",
        &["posting_transaction"],
    ),
];

/// One account that is on one side or the other of every posting.
const GROW: &str = "
    INSERT INTO ledger.posting (partition, seq, transaction_id, source, destination, amount, currency, recorded_at)
    SELECT s % 10, s, md5('t' || s)::uuid,
           CASE s % 2 WHEN 0 THEN 'external:EUR' ELSE 'wallet:' || md5((s / 15)::text)::uuid END,
           CASE s % 2 WHEN 1 THEN 'external:EUR' ELSE 'wallet:' || md5((s / 15)::text)::uuid END, 1, 'EUR', s / 7
    FROM generate_series(1, 60000) s;
    INSERT INTO ledger.account_total
    SELECT 'wallet:' || md5(a::text)::uuid, 'EUR', a % 10, 1, 1 FROM generate_series(1, 20000) a;
    INSERT INTO ledger.account_total SELECT 'external:EUR', 'EUR', p, 1, 1 FROM generate_series(0, 9) p;";

async fn database() -> TestDatabase {
    let migrations = MIGRATIONS.iter().map(|one| one.sql.as_str().as_bytes());
    TestDatabase::create(&template_name("query_ledger", migrations), async |url: &str| {
        let mut db = PgConnection::connect(url).await?;
        sqlx::raw_sql("CREATE SCHEMA ledger").execute(&mut db).await?;
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
async fn every_read_of_the_ledger_stays_on_its_indexes_as_the_tables_grow() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, "SET plan_cache_mode = force_generic_plan").await;
    for (name, statement, types, ..) in STATEMENTS {
        run(&mut db, &format!("PREPARE {name} ({types}) AS {statement}")).await;
    }
    for stage in ["empty", "analyzed while empty", "grown", "grown and analyzed"] {
        match stage {
            "grown" => run(&mut db, GROW).await,
            "analyzed while empty" | "grown and analyzed" => {
                run(&mut db, "ANALYZE ledger.posting, ledger.account_total").await;
            }
            _ => {}
        }
        for (name, _, _, values, indexes) in STATEMENTS {
            let plan = plan(&mut db, BEGIN, name, values).await;
            assert!(uses_only(&plan, indexes), "{name}, {stage}:\n{plan}");
        }
    }
}

/// However many postings an account has, and wherever in them the page lies.
#[tokio::test]
async fn a_page_of_postings_reads_no_more_than_the_page_from_either_side() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, GROW).await;
    run(&mut db, "VACUUM ANALYZE ledger.posting").await;
    let (_, statement, types, ..) = STATEMENTS[2];
    run(&mut db, &format!("PREPARE postings ({types}) AS {statement}")).await;
    for below in ["9223372036854775807", "4000", "3"] {
        let values = format!("'external:EUR', 0, {below}, 0, 0, 0::smallint, 51");
        let plan = run_plan(&mut db, BEGIN, "postings", &values).await;
        assert!(buffers(&plan) < 250, "{plan}");
    }
}
