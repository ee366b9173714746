//! A journal and a topic, with publishers between them.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;
use wallex_journal::{Event, cloud_event};
use wallex_publisher::Config;
use wallex_runtime::health::Health;
use wallex_runtime::redis::Accelerator;
use wallex_runtime::{CancellationToken, Flags, Settings};
use wallex_testing::{TestDatabase, create_topic, eventually, unique_name};

use wallex_books::Journal;

pub use wallex_testing::DEADLINE;

pub struct Setup {
    _database: TestDatabase,
    pub db: PgPool,
    pub journal: Journal,
    pub topic: String,
    partitions: i32,
}

pub async fn setup(partitions: i32) -> Setup {
    let setup = setup_without_topic(partitions).await;
    create_topic(&setup.topic, partitions).await;
    setup
}

pub async fn setup_without_topic(partitions: i32) -> Setup {
    let database = wallex_books::database(partitions, "publisher", async |_: &str| Ok(())).await;
    let db = database.pool().await;
    Setup {
        journal: Journal::new(db.clone()),
        db,
        _database: database,
        topic: unique_name("events"),
        partitions,
    }
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

    /// Ends it like a crash: nothing is handed over.
    pub fn kill(self) {
        self.task.abort();
    }
}

impl Setup {
    pub fn settings(&self, instance: &str, lease_ms: u64) -> Settings {
        Settings::from_flags(&Flags {
            platform: Some("test".to_owned()),
            instance: Some(instance.to_owned()),
            kafka_bootstrap_servers: Some(wallex_testing::kafka()),
            kafka_events_topic: Some(self.topic.clone()),
            redis_url: Some(wallex_testing::redis()),
            publisher_lease_ms: Some(lease_ms.to_string()),
            ..Flags::default()
        })
        .unwrap()
    }

    pub fn start(&self, instance: &str) -> Running {
        self.start_with(instance, 3_000, false)
    }

    pub fn start_with(&self, instance: &str, lease_ms: u64, redis: bool) -> Running {
        let settings = self.settings(instance, lease_ms);
        let redis = if redis {
            Accelerator::connect(&settings)
        } else {
            Accelerator::none()
        };
        let health = Health::new();
        // With no check at all, health counts as ready; don't mistake that for the publisher's own.
        health.check("publication");
        let shutdown = CancellationToken::new();
        let run = {
            // Its own pool, like a separate process: a killed task may leave a connection in any state.
            let pool = PgPoolOptions::new().max_connections(3);
            let db = pool.connect_lazy_with((*self.db.connect_options()).clone());
            let config = Config::new(&settings).unwrap();
            let (health, shutdown) = (health.clone(), shutdown.clone());
            async move { wallex_publisher::run(config, db, redis, &health, shutdown).await }
        };
        Running {
            task: tokio::spawn(run),
            shutdown,
            health,
        }
    }

    /// Writes `n` events into each partition.
    pub async fn write(&mut self, n: u64) {
        for partition in 0..self.partitions {
            if self.journal.last_seq(partition) == 0 {
                self.journal.create(partition, 1, 100).await;
            }
            for _ in 0..n {
                self.journal.credit(partition, 1, 1).await;
            }
        }
    }

    pub async fn checkpoint(&self, partition: i32) -> i64 {
        sqlx::query_scalar("SELECT checkpoint_seq FROM journal.publication WHERE partition = $1")
            .bind(partition)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    /// The owners, with the number of partitions of each.
    pub async fn owners(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT owner, count(*) FROM journal.publication WHERE owner IS NOT NULL GROUP BY owner",
        )
        .fetch_all(&self.db)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    pub async fn published(&self, partition: i32, seq: i64) {
        eventually(DEADLINE, &format!("checkpoint {partition}:{seq}"), async || {
            (self.checkpoint(partition).await >= seq).then_some(())
        })
        .await;
    }

    pub async fn all_published(&self) {
        for partition in 0..self.partitions {
            self.published(partition, self.journal.last_seq(partition)).await;
        }
    }

    /// The topic as its readers see it.
    pub async fn topic_events(&self) -> BTreeMap<i32, Vec<Event>> {
        let (topic, partitions) = (self.topic.clone(), self.partitions);
        tokio::task::spawn_blocking(move || read_topic(&topic, partitions))
            .await
            .unwrap()
    }

    /// Checks that readers who drop repetitions see every event of the journal once, in order.
    pub async fn assert_complete(&self) {
        let topic = self.topic_events().await;
        for partition in 0..self.partitions {
            let mut next = 1;
            for event in &topic[&partition] {
                assert!(event.seq <= next, "a hole before {}", event.position());
                next = next.max(event.seq + 1);
            }
            assert_eq!(
                next - 1,
                self.journal.last_seq(partition),
                "partition {partition}"
            );
        }
    }
}

pub fn read_topic(topic: &str, partitions: i32) -> BTreeMap<i32, Vec<Event>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", wallex_testing::kafka())
        .set("group.id", unique_name("reader"))
        .create()
        .unwrap();
    let mut events = BTreeMap::new();
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, DEADLINE).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(low))
            .unwrap();
        consumer.assign(&list).unwrap();
        let mut read = Vec::new();
        let mut next = low;
        while next < high {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = message.unwrap();
            let headers = message.headers().unwrap();
            let headers = headers.iter().map(|header| (header.key, header.value));
            let event =
                cloud_event::decode("wallex/test", message.key(), message.payload(), headers).unwrap();
            assert_eq!(event.partition.0, message.partition());
            read.push(event);
            next = message.offset() + 1;
        }
        events.insert(partition, read);
    }
    events
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", wallex_testing::kafka())
        .create()
        .unwrap()
}

pub async fn delete_topic(topic: &str) {
    let results = admin()
        .delete_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    results.into_iter().for_each(|result| {
        result.unwrap();
    });
    eventually(DEADLINE, "the topic to be gone", async || {
        let admin = admin();
        let metadata = admin.inner().fetch_metadata(None, DEADLINE).ok()?;
        metadata
            .topics()
            .iter()
            .all(|found| found.name() != topic)
            .then_some(())
    })
    .await;
}

pub async fn limit_messages(topic: &str, bytes: &str) {
    let config = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    admin()
        .alter_configs(&[config], &AdminOptions::new())
        .await
        .unwrap();
}
