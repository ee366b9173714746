//! Holds the statements to their plans: one index each, nothing sorted, nothing scanned whole. Looked at
//! as the server runs them, prepared on connections that met the tables while they were empty.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use wallex_testing::{TestDatabase, template_name};

use crate::statement;

static MIGRATIONS: Migrator = sqlx::migrate!("../projector/migrations/read_model");

/// Name, statement, types and values of its parameters, and the plan nodes it may consist of.
const STATEMENTS: [(&str, &str, &str, &str, &[&str]); 4] = [
    (
        "wallet",
        statement::WALLET,
        "uuid",
        "md5('7')::uuid",
        &["wallet_pkey", "parked_wallet"],
    ),
    (
        "parked",
        statement::PARKED,
        "uuid",
        "md5('7')::uuid",
        &["parked_wallet"],
    ),
    (
        "history",
        statement::HISTORY,
        "uuid, bigint, bigint",
        "md5('0')::uuid, 9223372036854775807, 51",
        &["entry_pkey", "parked_wallet"],
    ),
    (
        "transaction",
        statement::TRANSACTION,
        "uuid",
        "md5('t7')::uuid",
        &["entry_transaction", "parked_wallet"],
    ),
];

/// 2,000 wallets of 15 entries, and one hot wallet that owns as many as all others together.
const GROW: &str = "
    INSERT INTO read_model.wallet
    SELECT md5(w::text)::uuid, 0, w, 15, NULL, 'EUR', 0, 0, 0, 'active', NULL, NULL, NULL, 0, 0
    FROM generate_series(0, 2000) w;
    INSERT INTO read_model.entry
    SELECT md5(w::text)::uuid, v, 0, w * 100000 + v, md5('e' || w || '-' || v)::uuid, md5('t' || w * 15 + v)::uuid,
           'credit', 1, 'EUR', v, NULL, NULL, NULL, NULL, 0
    FROM generate_series(0, 2000) w, LATERAL generate_series(1, CASE w WHEN 0 THEN 30000 ELSE 15 END) v;";

async fn database() -> TestDatabase {
    TestDatabase::create(
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
    .await
}

async fn run(db: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap();
}

/// The plan of a prepared statement within the snapshot's settings.
async fn plan(db: &mut PgConnection, name: &str, values: &str) -> String {
    run(db, statement::BEGIN).await;
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE {name} ({values})");
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
        .persistent(false)
        .fetch_all(&mut *db)
        .await
        .unwrap();
    run(db, "COMMIT").await;
    lines.join("\n")
}

fn uses_only(plan: &str, indexes: &[&str]) -> bool {
    let scans: Vec<&str> = plan.lines().filter(|line| line.contains("Scan")).collect();
    !scans.is_empty()
        && !plan.contains("Sort")
        && scans.iter().all(|scan| {
            (scan.contains("Index Scan") || scan.contains("Index Only Scan"))
                && indexes
                    .iter()
                    .any(|index| scan.contains(&format!("using {index} ")))
        })
}

/// `auto` makes a generic plan once it looks no dearer; `force_generic_plan` makes it at once, and keeps
/// it: the worst that can happen to a statement that was prepared on an empty table.
#[tokio::test]
async fn every_read_stays_on_its_index_as_the_tables_grow() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, "SET plan_cache_mode = force_generic_plan").await;
    for (name, statement, types, ..) in STATEMENTS {
        run(&mut db, &format!("PREPARE {name} ({types}) AS {statement}")).await;
    }
    for stage in ["empty", "analyzed while tiny", "grown", "grown and analyzed"] {
        match stage {
            "analyzed while tiny" => {
                run(&mut db, "INSERT INTO read_model.wallet SELECT md5('x')::uuid,0,1,1,NULL,'EUR',0,0,0,'active',NULL,NULL,NULL,0,0").await;
                run(
                    &mut db,
                    "ANALYZE read_model.wallet, read_model.entry, read_model.parked",
                )
                .await;
            }
            "grown" => run(&mut db, GROW).await,
            "grown and analyzed" => run(&mut db, "ANALYZE read_model.wallet, read_model.entry").await,
            _ => {}
        }
        for (name, _, _, values, indexes) in STATEMENTS {
            let plan = plan(&mut db, name, values).await;
            assert!(uses_only(&plan, indexes), "{name}, {stage}:\n{plan}");
        }
    }
}

/// A page costs the rows of the page, also in a history of 30,000 entries.
#[tokio::test]
async fn a_page_reads_no_more_than_the_page() {
    let database = database().await;
    let mut db = database.connection().await;
    run(&mut db, GROW).await;
    run(&mut db, "VACUUM ANALYZE read_model.entry").await;
    run(
        &mut db,
        &format!("PREPARE history (uuid, bigint, bigint) AS {}", statement::HISTORY),
    )
    .await;
    for below in ["9223372036854775807", "15000", "2"] {
        run(&mut db, statement::BEGIN).await;
        let explain = format!(
            "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) EXECUTE history (md5('0')::uuid, {below}, 51)"
        );
        let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .persistent(false)
            .fetch_all(&mut db)
            .await
            .unwrap();
        run(&mut db, "COMMIT").await;
        let buffers: u64 = lines[1..]
            .iter()
            .find_map(|line| line.trim().strip_prefix("Buffers: shared hit="))
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap();
        assert!(buffers < 80, "{}", lines.join("\n"));
    }
}
