//! A whole platform of processes with its own database and topics.

use std::process::{Command, Output, Stdio};

use tokio::task::JoinHandle;
use uuid::Uuid;
use wallex_testing::{TestDatabase, create_topic, unique_name};

use crate::process::{Process, bench, free_port, wallex, wallex_with_files};

pub(crate) const PARTITIONS: i32 = 6;

pub(crate) struct Platform {
    pub(crate) database: TestDatabase,
    settings: Vec<(&'static str, String)>,
}

impl Platform {
    pub(crate) async fn new() -> Self {
        Self::with_redis(wallex_testing::redis()).await
    }

    /// With the test's own Redis, to which it may do anything.
    pub(crate) async fn with_redis(redis: String) -> Self {
        Self::with(redis, Vec::new()).await
    }

    /// With a separate read side.
    pub(crate) async fn with_read_side(database: &TestDatabase) -> Self {
        let setting = ("WALLEX_READ_DATABASE_URL", database.url().to_owned());
        Self::with(wallex_testing::redis(), vec![setting]).await
    }

    async fn with(redis: String, more: Vec<(&'static str, String)>) -> Self {
        let database = TestDatabase::empty().await;
        let name = unique_name("platform");
        let topic = format!("{name}-events");
        let dead_letters = format!("{name}-dlq");
        create_topic(&topic, PARTITIONS).await;
        create_topic(&dead_letters, 1).await;
        let mut settings = vec![
            ("WALLEX_PLATFORM", name),
            ("WALLEX_DATABASE_URL", database.url().to_owned()),
            ("WALLEX_KAFKA_BOOTSTRAP_SERVERS", wallex_testing::kafka()),
            ("WALLEX_KAFKA_EVENTS_TOPIC", topic),
            ("WALLEX_KAFKA_DEAD_LETTERS_TOPIC", dead_letters),
            ("WALLEX_REDIS_URL", redis),
            // Takeovers are part of the tests; production's long lease is not.
            ("WALLEX_PUBLISHER_LEASE_MS", "2000".to_owned()),
            // Command processes hand commands on to each other; alone, one notices nothing.
            ("WALLEX_INTERNAL_LISTEN", "127.0.0.1:0".to_owned()),
        ];
        settings.extend(more);
        let platform = Self { database, settings };
        let migrated = platform
            .tool(&["migrate", "--partitions", &PARTITIONS.to_string()])
            .output()
            .unwrap();
        assert!(
            migrated.status.success(),
            "{}",
            String::from_utf8_lossy(&migrated.stderr)
        );
        platform
    }

    /// Changes a setting for everything started from now on.
    pub(crate) fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.settings.push((variable, value.into()));
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.restart(arguments, free_port())
    }

    /// Starts a role with this limit of open files.
    pub(crate) fn start_with_files(&self, arguments: &[&str], files: usize) -> Process {
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Process::start_by(wallex_with_files(files), arguments, free_port(), &settings)
    }

    /// The platform's name.
    pub(crate) fn name(&self) -> &str {
        &self.settings[0].1
    }

    /// Starts a role again where it was.
    pub(crate) fn restart(&self, arguments: &[&str], port: u16) -> Process {
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Process::start(arguments, port, &settings)
    }

    /// The binary with the platform's settings, for subcommands that terminate.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        self.with_settings(wallex(), arguments)
    }

    /// The load generator, likewise.
    pub(crate) fn bench(&self, arguments: &[&str]) -> Command {
        self.with_settings(bench(), arguments)
    }

    fn with_settings(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .envs(self.settings.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Asserts that each wallet's balance in the journal is what its client was told of.
    pub(crate) async fn assert_balances(&self, wallets: &[Uuid], clients: Vec<JoinHandle<i64>>) {
        let pool = self.database.pool().await;
        for (wallet, client) in wallets.iter().zip(clients) {
            let credited = client.await.unwrap();
            let balance: i64 = sqlx::query_scalar("SELECT balance FROM journal.head WHERE wallet_id = $1")
                .bind(wallet)
                .fetch_one(&pool)
                .await
                .unwrap();
            assert_eq!(balance, credited, "of wallet {wallet}");
        }
    }

    /// Asserts that the journal is intact.
    pub(crate) fn verify(&self) {
        let verified = self.tool(&["verify"]).output().unwrap();
        assert!(verified.status.success(), "{}", text(&verified));
        assert!(text(&verified).contains("all whole"), "{}", text(&verified));
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
