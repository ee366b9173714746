//! A synchronous standby that is away, on a server of the test's own: what a crash has left on the primary alone is not
//! told to anybody.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use wallex_journal::append::{Config, Writer};
use wallex_journal::schema;
use wallex_testing::{eventually, unique_name};

use crate::harness::*;

/// A PostgreSQL that is stopped and removed with its data at the end.
struct Server {
    folder: PathBuf,
    programs: PathBuf,
}

impl Server {
    fn new() -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .unwrap()
            .map(|version| version.unwrap().path())
            .collect();
        versions.sort();
        let folder = std::env::temp_dir().join(unique_name("wallex-standby"));
        std::fs::create_dir(&folder).unwrap();
        let server = Self {
            folder,
            programs: versions.pop().unwrap().join("bin"),
        };
        // PostgreSQL refuses root.
        let owned = Command::new("chown").arg("postgres").arg(&server.folder).status();
        assert!(owned.unwrap().success());
        server.run("initdb", &["-U", "postgres", "--auth=trust", "-E", "UTF8"]);
        server
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let ran = Command::new("setpriv")
            .args([
                "--reuid",
                "postgres",
                "--regid",
                "postgres",
                "--init-groups",
                "--",
            ])
            .arg(self.programs.join(program))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(arguments)
            .current_dir("/")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(ran.success(), "{program} {arguments:?}");
    }

    fn start(&self) {
        let folder = self.folder.display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories={folder}");
        let log = self.folder.join("log");
        self.run(
            "pg_ctl",
            &["-w", "-l", &log.to_string_lossy(), "-o", &options, "start"],
        );
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new()
            .socket(Path::new(&self.folder))
            .username("postgres")
            .database("postgres")
    }

    async fn connect(&self) -> PgConnection {
        self.options().connect().await.unwrap()
    }

    /// Commits wait for this standby from now on; for none when it has no name.
    async fn require(&self, standby: &str) {
        let mut db = self.connect().await;
        let alter = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        sqlx::raw_sql(AssertSqlSafe(alter))
            .execute(&mut db)
            .await
            .unwrap();
        sqlx::raw_sql("SELECT pg_reload_conf()")
            .execute(&mut db)
            .await
            .unwrap();
        eventually(Duration::from_secs(20), "the setting", async || {
            let mut db = self.connect().await;
            let names = sqlx::query_scalar("SELECT current_setting('synchronous_standby_names')");
            let names: String = names.fetch_one(&mut db).await.unwrap();
            (names == standby).then_some(())
        })
        .await;
    }

    fn writer(&self) -> Writer {
        Writer::new(self.options(), Arc::default(), RENDER, Config::default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stop = [
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--init-groups",
            "--",
        ];
        let _ = Command::new("setpriv")
            .args(stop)
            .arg(self.programs.join("pg_ctl"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-m", "immediate", "stop"])
            .current_dir("/")
            .stdout(Stdio::null())
            .status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn an_answer_that_no_standby_has_is_told_when_one_has_it() {
    let server = Server::new();
    server.start();
    let mut db = server.connect().await;
    schema::migrate(&mut db, &platform(), false).await.unwrap();
    schema::add_partitions(&mut db, PARTITIONS).await.unwrap();
    schema::open_partitions(&mut db).await.unwrap();
    drop(db);
    run_one(&mut server.writer(), create("c", wallet(1), 100)).await;

    server.require("away").await;
    // It is committed on the primary, and waits; then the primary crashes.
    let patience = Duration::from_secs(2);
    let mut writer = server.writer();
    let waits = tokio::time::timeout(patience, run_one(&mut writer, credit("k", wallet(1), 5))).await;
    assert!(waits.is_err(), "{waits:?}");
    server.run("pg_ctl", &["-w", "-m", "immediate", "stop"]);
    server.start();
    let mut db = server.connect().await;
    let balance: i64 = sqlx::query_scalar("SELECT balance FROM journal.head")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(balance, 105, "it is there, on the primary alone");

    let mut writer = server.writer();
    let told = tokio::time::timeout(patience, run_one(&mut writer, credit("k", wallet(1), 5))).await;
    assert!(told.is_err(), "{told:?}");
    server.require("").await;
    let reply = run_one(&mut server.writer(), credit("k", wallet(1), 5)).await;
    assert_eq!(status(&reply), (201, true));
}
