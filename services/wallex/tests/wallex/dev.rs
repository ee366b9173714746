//! `wallex dev` with its own database: the whole API in one process.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use wallex_testing::{TestDatabase, eventually};

use crate::api::{Api, Write};
use crate::platform::text;
use crate::process::{DEADLINE, Process, bench, free_port, wallex};

#[tokio::test]
async fn one_process_serves_writes_and_reads_and_every_balance_agrees() {
    let database = TestDatabase::empty().await;
    let port = free_port();
    let mut dev = Process::start(
        &["dev", "--port", &port.to_string()],
        port,
        &[("DATABASE_URL", database.url())],
    );
    dev.ready().await;
    let bench = bench()
        .args([
            "--wallets",
            "30",
            "--operations",
            "600",
            "--workers",
            "8",
            "--seed",
            "1",
        ])
        .args([
            "--api",
            &format!("http://127.0.0.1:{port}"),
            "--database-url",
            database.url(),
        ])
        .output()
        .unwrap();
    let report = text(&bench);
    assert!(bench.status.success(), "{report}");
    assert!(report.contains("yes, by database"), "{report}");
    dev.signal("-INT");
    assert!(dev.ended().await.success(), "{}", dev.log());
}

/// As a user without any server would run it: it brings its own, keeps the data, and leaves nothing running.
#[tokio::test]
async fn a_private_postgresql_keeps_its_data_between_runs() {
    let folder = std::env::temp_dir().join(wallex_testing::unique_name("wallex-dev"));
    let data = folder.to_string_lossy().into_owned();
    let load = |port: u16| {
        let api = format!("http://127.0.0.1:{port}");
        let args = [
            "--wallets",
            "5",
            "--operations",
            "50",
            "--workers",
            "2",
            "--api",
            &api,
        ];
        let bench = bench().args(args).output().unwrap();
        assert!(bench.status.success(), "{}", text(&bench));
    };
    for run in 0..2 {
        let port = free_port();
        let mut dev = Process::start(&["dev", "--port", &port.to_string(), "--data", &data], port, &[]);
        dev.ready().await;
        if run == 0 {
            a_second_one_is_refused(&data).await;
            secrets_are_private(&folder);
            a_killed_server_is_started_again(&folder, &dev).await;
        }
        load(port);
        dev.signal("-INT");
        assert!(dev.ended().await.success(), "{}", dev.log());
        eventually(DEADLINE, "the private server's end", async || {
            (!folder.join("data/postmaster.pid").exists()).then_some(())
        })
        .await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn a_second_one_is_refused(data: &str) {
    let port = free_port();
    let mut second = Process::start(&["dev", "--port", &port.to_string(), "--data", data], port, &[]);
    let ended = second.ended().await;
    let told = second.log();
    assert_eq!(ended.code(), Some(1), "{told}");
    assert!(
        told.contains("is in use by another `wallex dev` (process "),
        "{told}"
    );
}

fn secrets_are_private(folder: &Path) {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    assert_eq!(mode(&folder.join("secret")), 0o600);
    assert!(!folder.join("password").exists());
}

async fn a_killed_server_is_started_again(folder: &Path, dev: &Process) {
    let pid = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap();
    let killed = Command::new("kill").args(["-KILL", pid]).status().unwrap();
    assert!(killed.success());
    dev.says("the private PostgreSQL runs again").await;
    dev.ready().await;
}

#[test]
fn a_port_in_use_is_told_with_the_flag_that_helps() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = wallex()
        .args(["dev", "--port", &port])
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .output()
        .unwrap();
    let told = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let expected = format!("127.0.0.1:{port} is in use: choose another port with --port");
    assert!(told.contains(&expected), "{told}");
}

#[tokio::test]
async fn a_port_that_the_system_chooses_is_told() {
    let database = TestDatabase::empty().await;
    let dev = Process::start(&["dev", "--port", "0"], 0, &[("DATABASE_URL", database.url())]);
    let said = "the API is at http://localhost:";
    dev.says(said).await;
    let log = dev.log();
    let (_, rest) = log.split_once(said).unwrap();
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let port: u16 = port.parse().unwrap();
    assert_ne!(port, 0, "{log}");
    eventually(DEADLINE, "the API at the port that was told", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
}

/// The projections do not find it by polling: their next poll would be half a minute later.
#[tokio::test]
async fn a_write_wakes_the_projections() {
    let database = TestDatabase::empty().await;
    let port = free_port();
    let settings = [
        ("DATABASE_URL", database.url()),
        ("WALLEX_POLL_INTERVAL_MS", "30000"),
    ];
    let dev = Process::start(&["dev", "--port", &port.to_string()], port, &settings);
    dev.ready().await;
    let api = Api::new([port, port]);
    for n in 0..5 {
        let write = Write {
            method: http::Method::POST,
            path: "/v1/wallets".to_owned(),
            key: format!("create-{n}"),
            if_match: None,
            body: json!({"currency": "EUR"}),
        };
        let written = api.write(0, &write).await.unwrap();
        assert_eq!(written.status, 201, "{written:?}");
        for route in ["/v1/wallets?owner=Ada", "/v1/ledger/trial-balance"] {
            let read = api.read(0, route, written.position.as_deref().unwrap()).await;
            assert_eq!(read.as_ref().map(|read| read.status), Ok(200), "{read:?}");
        }
    }
}
