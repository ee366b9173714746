//! How roles start when something is missing: one clear line, waiting where that helps, never a panic.

use serde_json::json;
use wallex_testing::{TestDatabase, eventually};

use crate::api::{Api, Write};
use crate::platform::{Platform, text};
use crate::process::{DEADLINE, Process, free_port, wallex};

#[tokio::test]
async fn an_unreachable_postgresql_is_waited_for_by_the_name_of_its_setting() {
    let url = "postgres://wallet:hunter2@127.0.0.1:1/wallex";
    let mut role = Process::start(&["command"], free_port(), &[("WALLEX_DATABASE_URL", url)]);
    role.says("database_url").await;
    assert_eq!(
        role.get("/health/live").await,
        Some(200),
        "waiting is no reason to be restarted"
    );
    names(&role, "DatabaseUnreachable").await;
    assert_eq!(role.get("/v1/wallets/x").await, Some(503));
    role.signal("-TERM");
    assert!(role.ended().await.success());
    let log = role.log();
    assert!(!log.contains("hunter2") && !log.contains("panicked"), "{log}");
    assert!(log.contains("127.0.0.1:1"), "{log}");
}

#[tokio::test]
async fn an_unreachable_kafka_is_waited_for_by_the_name_of_its_setting() {
    let platform = Platform::new().await;
    for arguments in [&["publisher"][..], &["projector", "ledger"]] {
        let port = free_port();
        let settings = [
            ("WALLEX_DATABASE_URL", platform.database.url()),
            ("WALLEX_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ("WALLEX_PLATFORM", platform.name()),
        ];
        let mut role = Process::start(arguments, port, &settings);
        role.says("kafka_bootstrap_servers").await;
        assert_eq!(role.get("/health/live").await, Some(200));
        names(&role, "KafkaUnreachable").await;
        role.signal("-TERM");
        assert!(role.ended().await.success(), "{}", role.log());
        assert!(!role.log().contains("panicked"), "{}", role.log());
    }
}

#[tokio::test]
async fn an_unreachable_redis_is_a_warning_and_work_goes_on() {
    let platform = Platform::new().await;
    let settings = [
        ("WALLEX_DATABASE_URL", platform.database.url().to_owned()),
        ("WALLEX_KAFKA_BOOTSTRAP_SERVERS", wallex_testing::kafka()),
        ("WALLEX_KAFKA_EVENTS_TOPIC", format!("{}-events", platform.name())),
        ("WALLEX_REDIS_URL", "redis://127.0.0.1:1/0".to_owned()),
        ("WALLEX_PLATFORM", platform.name().to_owned()),
    ];
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let publisher = Process::start(&["publisher"], free_port(), &settings);
    publisher.says("WARN").await;
    publisher.says("redis_url").await;
    publisher.ready().await;
}

#[tokio::test]
async fn another_platforms_database_is_refused_by_both_names() {
    let platform = Platform::new().await;
    for arguments in [&["command"][..], &["query"], &["migrate"]] {
        let refused = wallex()
            .args(arguments)
            .env("WALLEX_DATABASE_URL", platform.database.url())
            .env("WALLEX_PLATFORM", "intruder")
            .env("WALLEX_LISTEN", format!("127.0.0.1:{}", free_port()))
            .output()
            .unwrap();
        let text = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(
            text.contains("local/default/intruder") && text.contains(platform.name()),
            "{text}"
        );
        assert!(text.contains("--adopt"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_setting_is_an_error_that_names_the_way_out() {
    let refused = wallex()
        .arg("command")
        .env("WALLEX_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    let text = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    for part in [
        "database_url",
        "--database-url",
        "WALLEX_DATABASE_URL",
        "postgres://",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_role_waits_for_the_migration_and_goes_on_by_itself() {
    let database = TestDatabase::empty().await;
    let settings = [("WALLEX_DATABASE_URL", database.url())];
    let role = Process::start(&["query"], free_port(), &settings);
    role.says("run `wallex migrate`").await;
    names(&role, "SchemaMissing").await;
    let migrated = wallex()
        .arg("migrate")
        .env("WALLEX_DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{}", text(&migrated));
    role.ready().await;
    assert_eq!(role.get("/openapi.json").await, Some(200));
}

#[tokio::test]
async fn a_migration_refuses_a_database_that_lacks_what_was_written() {
    let database = TestDatabase::empty().await;
    let migrate = |arguments: &[&str]| {
        let done = wallex()
            .arg("migrate")
            .args(arguments)
            .env("WALLEX_DATABASE_URL", database.url())
            .output()
            .unwrap();
        (done.status.success(), text(&done))
    };
    let (done, said) = migrate(&["--expect-events", "3", "--expect-journal", "1700000000000001"]);
    assert!(!done && said.contains("error: JournalRewound"), "{said}");
    let pool = database.pool().await;
    let schemas: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = 'journal'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(schemas, 0, "nothing was made");
    let (done, said) = migrate(&["--expect-events", "0"]);
    assert!(
        done && said.contains("journal_id") && said.contains("events"),
        "{said}"
    );
}

#[tokio::test]
async fn a_schema_that_is_dropped_makes_reads_unready_until_it_is_migrated_again_and_writes_go_on() {
    let platform = Platform::new().await;
    let role = platform.start(&["query"]);
    let command = platform.start(&["command"]);
    role.ready().await;
    command.ready().await;
    let pool = platform.database.pool().await;
    sqlx::query("DROP SCHEMA ledger CASCADE")
        .execute(&pool)
        .await
        .unwrap();
    let state = "\"read_side\"";
    eventually(DEADLINE, "the role to be unready", async || {
        let (status, answer) = role.read("/health/ready").await?;
        let code = "\"code\":\"SchemaMissing\"";
        (status == 503 && answer.contains(state) && answer.contains("ledger") && answer.contains(code))
            .then_some(())
    })
    .await;
    role.says("waiting: SchemaMissing: there is no schema ledger")
        .await;
    command
        .says("waiting: SchemaMissing: there is no schema ledger")
        .await;
    writes(&command).await;
    let migrated = platform.tool(&["migrate"]).output().unwrap();
    assert!(migrated.status.success(), "{}", text(&migrated));
    role.ready().await;
    role.says("the database fits").await;
}

#[tokio::test]
async fn writes_begin_without_the_read_sides_database() {
    let read_side = TestDatabase::empty().await;
    let platform = Platform::with_read_side(&read_side).await;
    drop(read_side);
    let command = platform.start(&["command"]);
    command.ready().await;
    writes(&command).await;
}

/// Waits until the role is unready with this code.
async fn names(role: &Process, code: &str) {
    eventually(DEADLINE, code, async || {
        let (status, answer) = role.read("/health/ready").await?;
        (status == 503 && answer.contains(&format!("\"code\":\"{code}\""))).then_some(())
    })
    .await;
}

/// Asserts that the role is ready and accepts a write.
async fn writes(command: &Process) {
    assert_eq!(command.get("/health/ready").await, Some(200));
    let write = Write {
        method: http::Method::POST,
        path: "/v1/wallets".to_owned(),
        key: "while-reads-are-away".to_owned(),
        if_match: None,
        body: json!({"currency": "EUR"}),
    };
    let api = Api::new([command.port; 2]);
    assert_eq!(api.write(0, &write).await.map(|answer| answer.status), Ok(201));
}
