//! A journal, a topic, and projectors for both projections.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "tests; each uses a part"
)]

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wallex_domain::Wallet;
use wallex_journal::{Event, cloud_event};
use wallex_projections::{Name, schema};
use wallex_projector::Feed;
use wallex_runtime::health::Health;
use wallex_runtime::{CancellationToken, Flags, Settings};
use wallex_testing::{TestDatabase, create_topic, eventually, unique_name};

use wallex_books::Journal;

pub use wallex_testing::DEADLINE;

pub struct Setup {
    _database: TestDatabase,
    pub db: PgPool,
    pub journal: Journal,
    /// Used by this test alone, and so are its consumer groups.
    pub platform: String,
    pub topic: String,
    pub partitions: i32,
    producer: Option<FutureProducer>,
}

pub async fn setup(partitions: i32) -> Setup {
    let migrate = async |url: &str| -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(url).await?;
        schema::migrate(&mut connection).await?;
        connection.close().await?;
        Ok(())
    };
    let migrations = schema::all().flat_map(|schema| {
        schema
            .migrations
            .iter()
            .map(|migration| migration.sql.as_str().as_bytes())
    });
    let database = wallex_books::database(
        partitions,
        &wallex_testing::template_name("projector", migrations),
        migrate,
    )
    .await;
    let db = database.pool().await;
    // Like `wallex migrate`.
    schema::add_cursors(&mut db.acquire().await.unwrap(), partitions)
        .await
        .unwrap();
    Setup {
        journal: Journal::new(db.clone()),
        db,
        _database: database,
        platform: unique_name("platform"),
        topic: unique_name("events"),
        partitions,
        producer: None,
    }
}

pub async fn setup_with_topic(partitions: i32) -> Setup {
    let mut setup = setup(partitions).await;
    create_topic(&setup.topic, partitions).await;
    setup.producer = Some(
        ClientConfig::new()
            .set("bootstrap.servers", wallex_testing::kafka())
            .create()
            .unwrap(),
    );
    setup
}

pub struct Running {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
    pub health: Health,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.unwrap().unwrap();
    }

    /// Ends it like a crash, at any point.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn ready(&self) {
        eventually(DEADLINE, "readiness", async || {
            self.health.is_ready().then_some(())
        })
        .await;
    }

    /// Means something only after [`Running::ready`]: everything starts unready.
    pub async fn unready(&self) {
        eventually(
            DEADLINE,
            "readiness to say that something stands still",
            async || (!self.health.is_ready()).then_some(()),
        )
        .await;
    }
}

impl Setup {
    pub fn settings(&self) -> Settings {
        Settings::from_flags(&Flags {
            platform: Some(self.platform.clone()),
            kafka_bootstrap_servers: Some(wallex_testing::kafka()),
            kafka_events_topic: Some(self.topic.clone()),
            kafka_dead_letters_topic: Some(format!("{}_dlq", self.topic)),
            ..Flags::default()
        })
        .unwrap()
    }

    pub fn start(&self, name: Name, from: Feed) -> Running {
        self.start_with(name, from, self.settings())
    }

    pub fn start_with(&self, name: Name, from: Feed, settings: Settings) -> Running {
        // Its own pools, like a separate process: a killed task may leave a connection in any state.
        let pool = || {
            PgPoolOptions::new()
                .max_connections(2)
                .connect_lazy_with((*self.db.connect_options()).clone())
        };
        let (journal, read) = (pool(), pool());
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        // With no check at all, health counts as ready; don't mistake that for the projector's own.
        health.check(match name {
            Name::Ledger => "ledger",
            Name::ReadModel => "read-model",
        });
        let run = {
            let (health, shutdown) = (health.clone(), shutdown.clone());
            async move {
                wallex_projector::run(name, from, &settings, journal, read, &health, shutdown)
                    .await
                    .unwrap();
            }
        };
        Running {
            task: tokio::spawn(run),
            shutdown,
            health,
        }
    }

    /// Sends an event as a message, altered by `damage`.
    pub async fn send_changed(&self, event: &Event, damage: impl FnOnce(&mut cloud_event::Message)) {
        let mut message = cloud_event::encode(event, &cloud_event::source(&self.platform));
        damage(&mut message);
        let mut headers = OwnedHeaders::new();
        for (key, value) in &message.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value.as_bytes()),
            });
        }
        let record = FutureRecord::to(&self.topic)
            .partition(event.partition.0)
            .key(&message.key)
            .payload(message.payload.as_ref())
            .headers(headers);
        self.producer
            .as_ref()
            .unwrap()
            .send(record, DEADLINE)
            .await
            .unwrap();
    }

    pub async fn send(&self, event: &Event) {
        self.send_changed(event, |_| {}).await;
    }

    pub async fn cursors(&self, schema: &str) -> BTreeMap<i32, i64> {
        let statement = format!("SELECT partition, seq FROM {schema}.cursor");
        let rows: Vec<(i32, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .fetch_all(&self.db)
            .await
            .unwrap();
        rows.into_iter().collect()
    }

    pub async fn applied(&self, schema: &str, partition: i32, seq: i64) {
        eventually(DEADLINE, &format!("{schema} at {partition}:{seq}"), async || {
            (self.cursors(schema).await.get(&partition).copied().unwrap_or(0) >= seq).then_some(())
        })
        .await;
    }

    pub async fn all_applied(&self, schema: &str) {
        for partition in 0..self.partitions {
            self.applied(schema, partition, self.journal.last_seq(partition))
                .await;
        }
    }

    /// Like [`Setup::all_applied`], by projectors that were ready before and stopped no partition on the way.
    pub async fn all_applied_smoothly(&self, schema: &str, by: &Running) {
        eventually(DEADLINE, &format!("{schema} at the end"), async || {
            assert!(by.health.is_ready(), "a partition was stopped");
            let cursors = self.cursors(schema).await;
            let behind = (0..self.partitions).any(|p| cursors.get(&p) != Some(&self.journal.last_seq(p)));
            (!behind).then_some(())
        })
        .await;
        assert!(by.health.is_ready(), "a partition was stopped");
    }

    pub async fn parked(&self, schema: &str) -> Vec<(i32, i64)> {
        let statement = format!("SELECT partition, seq FROM {schema}.parked ORDER BY partition, seq");
        sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .fetch_all(&self.db)
            .await
            .unwrap()
    }

    /// The wallets that the events produce.
    pub fn wallets(&self) -> BTreeMap<Uuid, Wallet> {
        let mut wallets = BTreeMap::new();
        for event in &self.journal.events {
            let before = wallets.remove(&event.wallet_id.0);
            let after = Wallet::evolve(before, event.wallet_id, &event.decode().unwrap()).unwrap();
            wallets.insert(event.wallet_id.0, after);
        }
        wallets
    }

    /// Checks for one entry per event, every wallet as its events say, and no duplicates.
    pub async fn assert_read_model(&self) {
        let entries: i64 = self.number("SELECT count(*) FROM read_model.entry").await;
        assert_eq!(entries, self.journal.events.len() as i64);
        type Row = (Uuid, i64, i64, i64, String, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT wallet_id, balance, held, overdraft_limit, status, version FROM read_model.wallet
              ORDER BY wallet_id",
        )
        .fetch_all(&self.db)
        .await
        .unwrap();
        let expected: Vec<Row> = self
            .wallets()
            .into_iter()
            .map(|(id, wallet)| {
                (
                    id,
                    wallet.balance,
                    wallet.held,
                    wallet.overdraft_limit,
                    wallet.status.as_str().to_owned(),
                    wallet.version,
                )
            })
            .collect();
        assert_eq!(rows, expected);
    }

    /// Checks that totals sum to zero and agree with postings, and that a wallet's account holds what is available.
    pub async fn assert_ledger(&self) {
        let unbalanced = self
            .number(
                "SELECT count(*) FROM (SELECT 1 FROM ledger.account_total GROUP BY currency
                                       HAVING sum(credits) <> sum(debits)) wrong",
            )
            .await;
        assert_eq!(unbalanced, 0);
        let wrong = self
            .number(
                "SELECT count(*)
                   FROM (SELECT account, sum(credits - debits) total FROM ledger.account_total GROUP BY 1) totals
                   FULL JOIN (SELECT account, sum(amount) total
                                FROM (SELECT source, -amount FROM ledger.posting
                                      UNION ALL SELECT destination, amount FROM ledger.posting) moved (account, amount)
                               GROUP BY 1) postings USING (account)
                  WHERE totals.total IS DISTINCT FROM postings.total",
            )
            .await;
        assert_eq!(wrong, 0, "totals and postings differ");
        for (id, wallet) in self.wallets() {
            assert_eq!(
                self.account(&format!("wallet:{id}")).await,
                wallet.available(),
                "{id}"
            );
        }
    }

    /// What the ledger's account holds.
    pub async fn account(&self, account: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(credits - debits), 0)::bigint FROM ledger.account_total WHERE account = $1",
        )
        .bind(account)
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    pub async fn number(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.db).await.unwrap()
    }

    /// Creates wallets and movements in all partitions, including transfers between them.
    pub async fn write(&mut self, rounds: u64) {
        for partition in 0..self.partitions {
            for n in 1..=2 {
                if self.journal.balance(partition, n) == 0 {
                    self.journal.create(partition, n, 1_000).await;
                }
            }
        }
        for round in 0..rounds {
            for partition in 0..self.partitions {
                let other = (partition + 1) % self.partitions;
                self.journal.credit(partition, 1, 10).await;
                self.journal.debit(partition, 2, 1).await;
                self.journal
                    .transfer((partition, 1), (other, 2), 5 + i64::try_from(round % 3).unwrap())
                    .await;
            }
        }
    }
}
