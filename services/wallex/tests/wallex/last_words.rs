//! A container's termination message: how the operator learns how a migration or a role ended.

use std::path::PathBuf;

use serde_json::{Value, json};
use wallex_testing::{TestDatabase, eventually, unique_name};

use crate::platform::{Platform, text};
use crate::process::{DEADLINE, Process, free_port, wallex};

const VARIABLE: &str = "WALLEX_TERMINATION_MESSAGE";

/// A termination message that is not written yet.
struct Words(PathBuf);

impl Words {
    fn none() -> Self {
        Self(std::env::temp_dir().join(unique_name("last-words")))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.0).unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_migration_leaves_what_it_reached() {
    let (database, words) = (TestDatabase::empty().await, Words::none());
    let migrated = wallex()
        .args([
            "migrate",
            "--partitions",
            "3",
            "--termination-message",
            words.path(),
        ])
        .env("WALLEX_DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{}", text(&migrated));
    let mut said = words.read();
    let journal = said["journal_id"].take();
    assert!(
        journal.as_i64().is_some_and(|id| id > 1_700_000_000_000_000),
        "{journal}"
    );
    let versions = [
        wallex_journal::schema::SCHEMA.version(),
        wallex_projections::schema::LEDGER.version(),
        wallex_projections::schema::READ_MODEL.version(),
    ];
    assert_eq!(
        said,
        json!({
            "result": "migrated", "partitions": 3, "journal_id": null, "events": 0,
            "schemas": {"journal": versions[0], "ledger": versions[1], "read_model": versions[2]},
        })
    );
}

#[tokio::test]
async fn a_migration_that_waits_for_its_database_says_so_and_leaves_it_as_its_last_words() {
    let words = Words::none();
    let settings = [
        (
            "WALLEX_DATABASE_URL",
            "postgres://wallet:hunter2@127.0.0.1:1/wallex",
        ),
        (VARIABLE, words.path()),
    ];
    let mut migration = Process::start(&["migrate"], free_port(), &settings);
    eventually(DEADLINE, "the code", async || {
        let (status, answer) = migration.read("/health/ready").await?;
        let code = "\"code\":\"DatabaseUnreachable\"";
        (status == 503 && answer.contains(code) && answer.contains("127.0.0.1:1")).then_some(())
    })
    .await;
    migration.signal("-TERM");
    // A Job whose node is drained is not complete.
    assert!(!migration.ended().await.success());
    let said = words.read();
    assert_eq!(
        (&said["result"], &said["code"]),
        (&json!("failed"), &json!("DatabaseUnreachable"))
    );
    assert!(
        said["message"].as_str().unwrap().contains("database_url"),
        "{said}"
    );
    assert!(!said.to_string().contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_database_that_is_not_this_platforms_is_named_in_the_last_words() {
    let platform = Platform::new().await;
    let port = free_port().to_string();
    let listen = format!("127.0.0.1:{port}");
    let expect = ["migrate", "--expect-events", "3"];
    for (arguments, name, code) in [
        (&["command"][..], "intruder", "DatabaseTaken"),
        (&["migrate"], "intruder", "DatabaseTaken"),
        (&expect, platform.name(), "JournalRewound"),
    ] {
        let words = Words::none();
        let refused = wallex()
            .args(arguments)
            .env("WALLEX_DATABASE_URL", platform.database.url())
            .env("WALLEX_PLATFORM", name)
            .env("WALLEX_LISTEN", &listen)
            .env(VARIABLE, words.path())
            .output()
            .unwrap();
        let said = words.read();
        assert_eq!(said["code"], code, "{said} {}", text(&refused));
        let message = said["message"].as_str().unwrap();
        assert!(text(&refused).contains(&format!("error: {message}")), "{said}");
    }
}

#[tokio::test]
async fn a_failure_without_a_name_is_told_and_one_of_a_tool_is_not() {
    let words = Words::none();
    let run = |role: &str| {
        let refused = wallex()
            .arg(role)
            .env("WALLEX_LISTEN", "127.0.0.1:0")
            .env(VARIABLE, words.path())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        words.read()
    };
    assert_eq!(run("verify"), Value::Null, "it runs in a role's container");
    let said = run("command");
    assert_eq!((&said["result"], &said["code"]), (&json!("failed"), &Value::Null));
    assert!(
        said["message"].as_str().unwrap().contains("database_url"),
        "{said}"
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_left_is_a_warning() {
    let database = TestDatabase::empty().await;
    let migrated = wallex()
        .arg("migrate")
        .env("WALLEX_DATABASE_URL", database.url())
        .env(VARIABLE, "/nowhere/at/all")
        .output()
        .unwrap();
    let said = text(&migrated);
    assert!(
        migrated.status.success() && said.contains("warning: the termination message"),
        "{said}"
    );
}
