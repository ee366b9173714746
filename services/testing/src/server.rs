//! A PostgreSQL server for a single test, for anything that would disturb others: crashes and server-wide settings.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use crate::unique_name;
use crate::waiting::eventually;

/// A PostgreSQL that is stopped and removed with its data at the end. Reachable only through a socket in its folder.
pub struct PostgresServer {
    folder: PathBuf,
    programs: PathBuf,
}

/// PostgreSQL refuses to run as root.
const AS_POSTGRES: [&str; 6] = [
    "--reuid",
    "postgres",
    "--regid",
    "postgres",
    "--init-groups",
    "--",
];

impl PostgresServer {
    /// Creates and starts one.
    pub fn start() -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed as Debian does")
            .map(|version| version.expect("a folder that can be read").path())
            .collect();
        versions.sort();
        let folder = std::env::temp_dir().join(unique_name("wallex-postgres"));
        std::fs::create_dir(&folder).expect("a folder for the server");
        let server = Self {
            folder,
            programs: versions.pop().expect("a version of PostgreSQL").join("bin"),
        };
        let owned = Command::new("chown").arg("postgres").arg(&server.folder).status();
        assert!(owned.is_ok_and(|status| status.success()), "chown needs root");
        server.run("initdb", &["-U", "postgres", "--auth=trust", "-E", "UTF8"]);
        server.start_again();
        server
    }

    /// After a [`PostgresServer::crash`].
    pub fn start_again(&self) {
        let folder = self.folder.display();
        let options = format!("-c listen_addresses='' -c unix_socket_directories={folder}");
        let log = self.folder.join("log");
        self.run(
            "pg_ctl",
            &["-w", "-l", &log.to_string_lossy(), "-o", &options, "start"],
        );
    }

    /// Stops without writing anything more.
    pub fn crash(&self) {
        self.run("pg_ctl", &["-w", "-m", "immediate", "stop"]);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(AS_POSTGRES)
            .arg(self.programs.join(program))
            .arg("-D")
            .arg(self.folder.join("data"))
            .current_dir("/")
            .stdout(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let ran = self.command(program).args(arguments).status();
        assert!(
            ran.is_ok_and(|status| status.success()),
            "{program} {arguments:?}"
        );
    }

    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new()
            .socket(&self.folder)
            .username("postgres")
            .database("postgres")
    }

    pub async fn connect(&self) -> PgConnection {
        self.options()
            .connect()
            .await
            .expect("the server takes connections")
    }

    /// From now on, commits wait for this standby; for none if the name is empty.
    pub async fn require(&self, standby: &str) {
        let mut db = self.connect().await;
        let alter = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        for statement in [alter.as_str(), "SELECT pg_reload_conf()"] {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut db)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        eventually(Duration::from_secs(20), "the setting", async || {
            let mut db = self.connect().await;
            let names = sqlx::query_scalar("SELECT current_setting('synchronous_standby_names')");
            let names: String = names.fetch_one(&mut db).await.ok()?;
            (names == standby).then_some(())
        })
        .await;
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self.command("pg_ctl").args(["-m", "immediate", "stop"]).status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
