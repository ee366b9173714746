use std::net::SocketAddr;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use tracing::Level;
use wallex_runtime::database::{self, ConnectError};
use wallex_runtime::{CancellationToken, Secret};
use wallex_testing::eventually;

use crate::door::Door;
use crate::lines::Lines;
use crate::{DEADLINE, check};

fn server() -> SocketAddr {
    let options = PgConnectOptions::from_str(&wallex_testing::postgres()).unwrap();
    format!("{}:{}", options.get_host(), options.get_port())
        .parse()
        .unwrap()
}

/// The tests' URL with the last occurrence of `from` replaced.
fn url(from: &str, to: &str) -> Secret {
    let url = wallex_testing::postgres();
    let (before, after) = url.rsplit_once(from).unwrap();
    Secret::new(format!("{before}{to}{after}"))
}

fn password() -> String {
    let url = wallex_testing::postgres();
    url.split_once("://")
        .unwrap()
        .1
        .split_once('@')
        .unwrap()
        .0
        .split_once(':')
        .unwrap()
        .1
        .to_owned()
}

/// Runs `connect` beside the check until a line contains these words, then shuts down.
async fn complaint(url: &Secret, words: &[&str]) -> Lines {
    let lines = Lines::collect(Level::DEBUG);
    let (check, stop) = (check(), CancellationToken::new());
    let connecting = database::connect(url, 2, "wallex-test", "database_url", &check, &stop);
    let looking = async {
        eventually(DEADLINE, "a line that says why", async || lines.with(words).pop()).await;
        stop.cancel();
    };
    let (connected, ()) = tokio::join!(connecting, looking);
    assert!(matches!(
        connected,
        Err(ConnectError::ShutDown {
            setting: "database_url",
            was_tried: true,
        })
    ));
    lines
}

#[tokio::test]
async fn connecting_goes_on_until_postgresql_appears() {
    let mut door = Door::shut();
    let url = url(&server().to_string(), &door.address.to_string());
    let lines = Lines::collect(Level::DEBUG);
    let stop = CancellationToken::new();
    let check = check();
    let connecting = database::connect(&url, 2, "wallex-test", "database_url", &check, &stop);
    let address = format!("{}/postgres", door.address);
    let opening = async {
        let words = ["WARN", "database_url", &address, "refused"];
        eventually(DEADLINE, "the first complaint", async || lines.with(&words).pop()).await;
        eventually(DEADLINE, "more tries", async || {
            (lines.with(&["trying again"]).len() > 2).then_some(())
        })
        .await;
        door.open(server());
    };
    let (pool, ()) = tokio::join!(connecting, opening);
    let name: String = sqlx::query_scalar("SHOW application_name")
        .fetch_one(&pool.unwrap())
        .await
        .unwrap();
    assert_eq!(name, "wallex-test");
    assert_eq!(
        lines.with(&["WARN", "trying again"]).len(),
        1,
        "one cause is said once: {:?}",
        lines.all()
    );
    assert_eq!(lines.with(&["INFO", "PostgreSQL answers"]).len(), 1);
    let said = format!("{check:?}");
    for part in ["DatabaseUnreachable", "PostgreSQL", &address, "refused"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(lines.with(&[&password()]).is_empty(), "{:?}", lines.all());
}

#[tokio::test]
async fn a_refused_password_is_named_and_not_shown() {
    let lines = complaint(
        &url(&password(), "hunter2"),
        &["WARN", "user or password refused"],
    )
    .await;
    assert!(lines.with(&["hunter2"]).is_empty(), "{:?}", lines.all());
}

#[tokio::test]
async fn a_missing_database_is_named() {
    complaint(
        &url("/postgres", "/nowhere"),
        &["WARN", "/nowhere", "the database does not exist"],
    )
    .await;
}

#[tokio::test]
async fn shutdown_ends_the_wait_for_a_silent_server() {
    let mut door = Door::shut();
    door.open_silent();
    let url = url(&server().to_string(), &door.address.to_string());
    let (check, stop) = (check(), CancellationToken::new());
    let connecting = database::connect(&url, 2, "wallex-test", "database_url", &check, &stop);
    let (connected, ()) = tokio::join!(connecting, async { stop.cancel() });
    assert!(matches!(connected, Err(ConnectError::ShutDown { .. })));
}

#[tokio::test]
async fn an_unreadable_url_is_refused_at_once_and_not_shown() {
    let lines = Lines::collect(Level::TRACE);
    for url in [
        "mysql://user:hunter2@host/wallex",
        "postgres://user:hunter2@host:hunter2/wallex",
        "postgres://user:hunter2@host/wallex?sslmode=hunter2",
        "hunter2",
    ] {
        let stop = CancellationToken::new();
        let error = database::connect(
            &Secret::new(url),
            2,
            "wallex-test",
            "database_url",
            &check(),
            &stop,
        )
        .await
        .unwrap_err();
        let error = format!("{error} {error:?}");
        assert!(
            error.starts_with("database_url is not a PostgreSQL URL: "),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(lines.with(&["hunter2"]).is_empty(), "{:?}", lines.all());
}

#[tokio::test]
async fn a_pool_survives_a_server_that_restarts() {
    let mut door = Door::shut();
    door.open(server());
    let url = url(&server().to_string(), &door.address.to_string());
    let stop = CancellationToken::new();
    let pool = database::connect(&url, 1, "wallex-test", "database_url", &check(), &stop)
        .await
        .unwrap();
    let backend = async || {
        sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()")
            .fetch_one(&pool)
            .await
            .ok()
    };
    let before = backend().await.unwrap();
    assert_eq!(backend().await, Some(before), "one connection is used again");
    door.close();
    eventually(DEADLINE, "the loss to be noticed", async || {
        backend().await.is_none().then_some(())
    })
    .await;
    door.open(server());
    assert_ne!(eventually(DEADLINE, "another connection", backend).await, before);
}
