//! Checks that statements keep their plans, whatever the size of the tables: one index each, no sort, no full scan, no
//! more pages than the answer needs. Knows no schema.
//!
//! The invariant: a statement is examined as the server runs it, with the settings of its own snapshot, and prepared on
//! a connection that first saw the tables empty.

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{TestDatabase, template_name};

/// Name, statement, parameter types and values, and the indexes it may use.
pub type Planned = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// A database with only the schema in it.
pub async fn database(schema: &str, migrations: &Migrator) -> TestDatabase {
    let bytes = migrations.iter().map(|one| one.sql.as_str().as_bytes());
    let template = template_name(&format!("plans_{schema}"), bytes);
    TestDatabase::create(&template, async |url: &str| {
        let mut db = PgConnection::connect(url).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
            .execute(&mut db)
            .await?;
        for migration in migrations.iter() {
            sqlx::raw_sql(AssertSqlSafe(migration.sql.as_str()))
                .execute(&mut db)
                .await?;
        }
        Ok(db.close().await?)
    })
    .await
}

/// Runs statements.
pub async fn run(db: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap();
}

/// Prepares the statements under their names.
pub async fn prepare(db: &mut PgConnection, statements: &[Planned]) {
    for (name, statement, types, ..) in statements {
        let types = parenthesised(types);
        run(db, &format!("PREPARE {name} {types} AS {statement}")).await;
    }
}

/// SQL does not allow empty parentheses here.
fn parenthesised(list: &str) -> String {
    if list.is_empty() {
        String::new()
    } else {
        format!("({list})")
    }
}

/// Prepares the statements and checks that they use their indexes at each stage, given by its name and the SQL that
/// leads to it.
///
/// `auto` makes a generic plan once it looks no more expensive; `force_generic_plan` makes one at once and keeps it:
/// the worst case for a statement prepared on an empty table.
pub async fn stay_on_their_indexes(
    db: &mut PgConnection,
    begin: &str,
    statements: &[Planned],
    stages: [(&str, &str); 4],
) {
    run(db, "SET plan_cache_mode = force_generic_plan").await;
    prepare(db, statements).await;
    for (stage, change) in stages {
        run(db, change).await;
        for (name, _, _, values, indexes) in statements {
            let values = parenthesised(values);
            let execute = format!("EXPLAIN (COSTS OFF) EXECUTE {name} {values}");
            let plan = explain(db, begin, &execute).await;
            assert!(uses_only(&plan, indexes), "{name}, {stage}:\n{plan}");
        }
    }
}

/// Runs a prepared statement, which must read fewer pages than `pages`.
pub async fn reads_less(db: &mut PgConnection, begin: &str, name: &str, values: &str, pages: u64) {
    let analyze = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)";
    let plan = explain(db, begin, &format!("{analyze} EXECUTE {name} ({values})")).await;
    assert!(buffers(&plan) < pages, "{name} ({values}):\n{plan}");
}

/// The output of `explain` with the settings of the snapshot that `begin` opens.
async fn explain(db: &mut PgConnection, begin: &str, explain: &str) -> String {
    run(db, begin).await;
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain.to_owned()))
        .persistent(false)
        .fetch_all(&mut *db)
        .await
        .unwrap();
    run(db, "COMMIT").await;
    lines.join("\n")
}

/// Pages that the top node of an analyzed plan read.
fn buffers(plan: &str) -> u64 {
    let shared = plan
        .lines()
        .skip(1)
        .find_map(|line| line.trim().strip_prefix("Buffers: shared "));
    let counts = shared.unwrap().split(' ');
    counts
        .filter_map(|count| count.strip_prefix("hit=").or(count.strip_prefix("read=")))
        .map(|count| count.parse::<u64>().unwrap())
        .sum()
}

/// A merge of ordered scans names its key but sorts nothing.
fn sorts(line: &str) -> bool {
    let node = line.trim().trim_start_matches("->").trim();
    node.starts_with("Sort") && !node.starts_with("Sort Key") || node.starts_with("Incremental Sort")
}

fn uses_only(plan: &str, indexes: &[&str]) -> bool {
    let scans: Vec<&str> = plan
        .lines()
        .filter(|line| {
            let reads_no_table = ["Subquery Scan", "Function Scan", "CTE Scan"]
                .iter()
                .any(|scan| line.contains(scan));
            line.contains("Scan") && !reads_no_table
        })
        .collect();
    !scans.is_empty()
        && !plan.lines().any(sorts)
        && scans.iter().all(|scan| {
            (scan.contains("Index Scan") || scan.contains("Index Only Scan"))
                && indexes
                    .iter()
                    .any(|index| scan.contains(&format!("using {index} ")))
        })
}
