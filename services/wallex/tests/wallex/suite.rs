//! The suite of measurements on the real binary: every request and balance is checked, and nothing is left behind.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use wallex_testing::{DEADLINE, TestDatabase, eventually, postgres, unique_name};

use crate::process::{Process, bench, free_port};

/// The suite with the shortest windows, on this server.
fn suite(server: &str, arguments: &[&str]) -> Command {
    let mut command = bench();
    command
        .args([
            "suite",
            "--server-url",
            server,
            "--wallex",
            env!("CARGO_BIN_EXE_wallex"),
        ])
        .args([
            "--seconds",
            "1",
            "--warm-up",
            "0",
            "--connections",
            "4",
            "--pgbench",
            "1",
            "--pgbench-scale",
            "1",
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// A folder and a database of the server that this test alone uses the suite on: names of databases show what it left.
async fn databases(server: &mut PgConnection, owner: &str) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'wallex_bench_%' AND pg_get_userbyid(datdba) = $1",
    )
    .bind(owner)
    .fetch_all(server)
    .await
    .unwrap()
}

/// The server as a role of its own that may create databases: what belongs to it is what the suite created.
async fn as_role(server: &mut PgConnection, role: &str) -> String {
    let create = format!(r#"CREATE ROLE "{role}" LOGIN CREATEDB PASSWORD 'p%ss' IN ROLE pg_monitor"#);
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(server)
        .await
        .unwrap();
    let url = postgres();
    let (_, place) = url.rsplit_once('@').unwrap();
    format!("postgres://{role}:p%25ss@{place}")
}

async fn drop_role(server: &mut PgConnection, role: &str) {
    let drop = format!(r#"DROP ROLE "{role}""#);
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(server).await.unwrap();
}

async fn connect() -> PgConnection {
    use sqlx::Connection as _;
    PgConnection::connect(&postgres()).await.unwrap()
}

#[tokio::test]
async fn a_run_measures_verifies_and_leaves_nothing() {
    let mut server = connect().await;
    let role = unique_name("suite");
    let url = as_role(&mut server, &role).await;
    let folder = std::env::temp_dir().join(unique_name("wallex-suite"));
    std::fs::create_dir(&folder).unwrap();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (json, record, svg) = (file("json"), file("record"), file("svg"));
    let ran = suite(
        &url,
        &[
            "--roles",
            "command",
            "--scenarios",
            "spread,hot-transfer,batch,hold,reads,history,mixed",
        ],
    )
    .args([
        "--against",
        env!("CARGO_BIN_EXE_wallex"),
        "--replicas",
        "2",
        "--set",
        "writers=2",
    ])
    .args(["--json", &json, "--record", &record, "--svg", &svg])
    .output()
    .unwrap();
    let said = text(&ran);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("left out: it needs projections"), "{said}");

    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 12, "six scenarios, two builds: {report}");
    assert_eq!(report["verified"].as_array().unwrap().len(), 6, "{report}");
    for cell in cells {
        assert_eq!(cell["windows"].as_array().unwrap().len(), 3, "{cell}");
        for figure in [
            "/median",
            "/ratio",
            "/p99_ms",
            "/costs/cpu_us/generator",
            "/costs/cpu_us/command",
        ] {
            assert!(
                cell.pointer(figure).and_then(Value::as_f64).is_some(),
                "{figure}: {cell}"
            );
        }
        assert!(cell["median"].as_f64().unwrap() > 0.0, "{cell}");
        if cell["scenario"] != "reads" {
            assert!(cell["costs"]["wal_bytes"].as_f64().unwrap() > 100.0, "{cell}");
            assert!(
                cell["costs"]["batch"]["commands"].as_f64().unwrap() >= 1.0,
                "{cell}"
            );
            assert!(
                cell["costs"]["cpu_us"]["PostgreSQL: writer"].as_f64().is_some(),
                "{cell}"
            );
        }
    }
    let record: Value = serde_json::from_str(&std::fs::read_to_string(record).unwrap()).unwrap();
    assert!(
        record["command"]["figures"]["spread"]["4"]["ratio"]
            .as_f64()
            .is_some(),
        "{record}"
    );
    assert!(
        std::fs::read_to_string(svg)
            .unwrap()
            .contains("The command role alone")
    );

    assert_eq!(databases(&mut server, &role).await, Vec::<String>::new());
    drop_role(&mut server, &role).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_journal_has_as_many_wallets_and_events_as_asked_for_and_is_whole() {
    let mut server = connect().await;
    let role = unique_name("suite");
    let url = as_role(&mut server, &role).await;
    let ran = suite(&url, &["--roles", "command", "--scenarios", "reads", "--verify"])
        .args(["--wallets", "300", "--events", "5000", "--partitions", "3"])
        .output()
        .unwrap();
    let said = text(&ran);
    assert!(ran.status.success(), "{said}");
    for part in [
        "writing 4,700 events",
        "wallex verify: 5,300 events",
        "wallets: 300",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(databases(&mut server, &role).await, Vec::<String>::new());
    drop_role(&mut server, &role).await;
}

#[tokio::test]
async fn a_running_platform_is_measured_with_its_projections() {
    let mut server = connect().await;
    let role = unique_name("suite");
    let url = as_role(&mut server, &role).await;
    let database = TestDatabase::empty().await;
    let port = free_port();
    let dev = Process::start(
        &["dev", "--port", &port.to_string()],
        port,
        &[("DATABASE_URL", database.url())],
    );
    dev.ready().await;
    let api = format!("http://127.0.0.1:{port}");
    let ran = suite(&url, &["--scenarios", "seed,history,reads,mixed", "--api", &api])
        .args(["--database-url", database.url()])
        .output()
        .unwrap();
    let said = text(&ran);
    assert!(ran.status.success(), "{said}\n{}", dev.log());
    for part in ["read model p50", "histories", "x TPC-B", "not visible"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(databases(&mut server, &role).await, Vec::<String>::new());
    drop_role(&mut server, &role).await;
}

#[tokio::test]
async fn a_balance_that_is_off_by_one_fails_the_run() {
    use sqlx::Connection as _;

    let mut server = connect().await;
    let role = unique_name("suite");
    let url = as_role(&mut server, &role).await;
    let arguments = [
        "--roles",
        "command",
        "--scenarios",
        "spread",
        "--pgbench",
        "0",
        "--seconds",
        "3",
    ];
    let run = suite(&url, &arguments).spawn().unwrap();
    let name = eventually(DEADLINE, "the suite's database", async || {
        databases(&mut server, &role).await.pop()
    })
    .await;
    let (place, _) = url.rsplit_once('/').unwrap();
    let mut database = PgConnection::connect(&format!("{place}/{name}")).await.unwrap();
    let wallet: String = eventually(DEADLINE, "its wallets", async || {
        let first = sqlx::query_scalar("SELECT min(wallet_id::text) FROM journal.head");
        first.fetch_one(&mut database).await.ok().flatten()
    })
    .await;
    // The writer overwrites a change with what it remembers, so each of its writes is changed as well.
    let change = format!(
        "CREATE FUNCTION public.off() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN NEW.balance := NEW.balance + 1; RETURN NEW; END $$;
         CREATE TRIGGER off BEFORE UPDATE ON journal.head FOR EACH ROW WHEN (NEW.wallet_id = '{wallet}')
             EXECUTE FUNCTION public.off();
         UPDATE journal.head SET version = version WHERE wallet_id = '{wallet}'"
    );
    let changed = sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut database).await;
    changed.unwrap();
    drop(database);
    let ran = run.wait_with_output().unwrap();
    let said = text(&ran);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("1 balances are not as predicted"), "{said}");
    let left = databases(&mut server, &role).await;
    assert_eq!(left, Vec::<String>::new(), "{said}");
    drop_role(&mut server, &role).await;
}

#[tokio::test]
async fn a_run_that_is_stopped_leaves_nothing() {
    let mut server = connect().await;
    let role = unique_name("suite");
    let url = as_role(&mut server, &role).await;
    let run = suite(
        &url,
        &["--roles", "command", "--scenarios", "spread", "--seconds", "600"],
    )
    .spawn()
    .unwrap();
    // pgbench's database and that of the command role.
    eventually(DEADLINE, "both databases", async || {
        (databases(&mut server, &role).await.len() == 2).then_some(())
    })
    .await;
    let sent = Command::new("kill").arg(run.id().to_string()).status().unwrap();
    assert!(sent.success());
    let ran = tokio::task::spawn_blocking(|| run.wait_with_output().unwrap());
    let ran = tokio::time::timeout(Duration::from_secs(60), ran)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ran.status.code(), Some(130), "{}", text(&ran));
    assert_eq!(databases(&mut server, &role).await, Vec::<String>::new());
    drop_role(&mut server, &role).await;
}
