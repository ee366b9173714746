//! Redis is flushed, paused, killed, poisoned and cut off while the platform is under load: no command fails, no read
//! is older than the position it asks for, no live stream loses an event. Redis must actually be in use all the time,
//! so each torment waits until the cache answers again after the previous one.

mod follower;
mod reader;
mod server;

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use wallex_testing::eventually;

use crate::api::Api;
use crate::platform::{PARTITIONS, Platform, text};
use crate::process::{DEADLINE, Process};
use follower::Follower;
use reader::{Asking, Reader, Record};
use server::Redis;

/// How often each torment is applied.
const ROUNDS: usize = 2;
/// Concurrent clients that write and read, half of them in each mode of [`Asking`].
const READERS: usize = 6;
/// Cache hits on each replica between two torments.
const HITS: u64 = 12;
/// Writes with their reads that must succeed while Redis is away.
const LOAD: u64 = 12;
/// Reads that may be answered 503 `position_not_reached`. The projector needs no Redis, so there should be none, but a
/// busy machine may once delay it for longer than reads wait. If a torment were the cause, both rounds would show it.
const NOT_REACHED: u64 = READERS as u64;
/// Longer than any wait for an answer from Redis, shorter than the time after which a connection is given up.
const PAUSE: Duration = Duration::from_millis(1500);
/// Partitions per replica when two share them.
const HALF: usize = PARTITIONS as usize / 2;

#[derive(Debug, Clone, Copy)]
enum Torment {
    Flush,
    Pause,
    Restart,
    Poison,
    CutOff,
}

const TORMENTS: [Torment; 5] = [
    Torment::Flush,
    Torment::Pause,
    Torment::Restart,
    Torment::Poison,
    Torment::CutOff,
];

/// What the readers and the test share.
#[derive(Default)]
struct Load {
    /// Writes, each with its reads.
    done: AtomicU64,
    over: AtomicBool,
}

/// Everything that goes on while Redis is tormented.
struct Scene {
    platform: Platform,
    /// API replicas.
    replicas: [Process; 2],
    load: Arc<Load>,
    readers: Vec<JoinHandle<Record>>,
    bench: Bench,
}

impl Scene {
    async fn torment(&mut self, redis: &mut Redis, torment: Torment) {
        match torment {
            Torment::Flush => {
                eventually(DEADLINE, "something to flush", async || {
                    (redis.flush().await > 0).then_some(())
                })
                .await;
            }
            Torment::Pause => {
                redis.signal("-STOP");
                // Part of the scenario, not a condition: Redis is paused for this long.
                tokio::join!(tokio::time::sleep(PAUSE), self.goes_on(torment));
                redis.signal("-CONT");
            }
            Torment::Restart => {
                redis.kill();
                self.goes_on(torment).await;
                redis.restart().await;
            }
            Torment::Poison => {
                // One key per kind of poison.
                eventually(DEADLINE, "entries of the cache to poison", async || {
                    (redis.poison().await >= server::POISONS).then_some(())
                })
                .await;
            }
            Torment::CutOff => assert!(redis.cut_off().await > 0, "nobody to cut off"),
        }
        self.goes_on(torment).await;
        self.caches(torment).await;
        self.bench.go_on(&self.platform, self.replicas[0].port);
    }

    /// Waits until clients have made progress, whatever Redis does.
    async fn goes_on(&self, torment: Torment) {
        let until = self.load.done.load(Ordering::Relaxed) + LOAD;
        eventually(DEADLINE, &format!("{torment:?}: load"), async || {
            self.nobody_has_failed();
            (self.load.done.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// Waits until both replicas answer from the cache again.
    async fn caches(&self, torment: Torment) {
        for replica in &self.replicas {
            let until = hits(replica).await.unwrap() + HITS;
            eventually(DEADLINE, &format!("{torment:?}: the cache"), async || {
                self.nobody_has_failed();
                (hits(replica).await? >= until).then_some(())
            })
            .await;
        }
    }

    /// A reader ends early only if an assertion failed.
    fn nobody_has_failed(&self) {
        let all = !self.readers.iter().any(JoinHandle::is_finished);
        assert!(all, "a reader has failed, see above");
    }
}

/// The load generator, restarted as needed, so that there is always load, however fast the machine is.
struct Bench {
    child: Option<Child>,
    report: PathBuf,
}

impl Bench {
    fn start(platform: &Platform, port: u16, report: PathBuf) -> Self {
        let mut bench = Self { child: None, report };
        bench.child = Some(bench.run(platform, port));
        bench
    }

    fn run(&self, platform: &Platform, port: u16) -> Child {
        platform
            .bench(&["--wallets", "20", "--operations", "1000"])
            .args(["--workers", "8", "--timeout", "60"])
            .args(["--api", &format!("http://127.0.0.1:{port}")])
            .arg("--json")
            .arg(&self.report)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Restarts it if it has ended.
    fn go_on(&mut self, platform: &Platform, port: u16) {
        if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
            self.end();
            self.child = Some(self.run(platform, port));
        }
    }

    /// Waits for the end and asserts success.
    fn end(&mut self) {
        let ended = self.child.take().unwrap().wait_with_output().unwrap();
        let said = text(&ended);
        assert!(ended.status.success(), "{said}");
        assert!(said.contains("yes, by database"), "{said}");
        let report: Value = serde_json::from_slice(&std::fs::read(&self.report).unwrap()).unwrap();
        assert_eq!(report["failed"], 0, "{said}");
        assert_eq!(report["http_5xx"], 0, "{said}");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads that the cache of a replica has answered.
async fn hits(replica: &Process) -> Option<u64> {
    let (_, metrics) = replica.read("/metrics").await?;
    let line = "wallex_query_cache_requests_total{outcome=\"hit\"} ";
    let value = metrics.lines().find_map(|text| text.strip_prefix(line));
    Some(value.map_or(0, |value| value.parse().unwrap()))
}

/// Partitions that a projector owns.
async fn owned(projector: &Process) -> Option<usize> {
    let (_, metrics) = projector.read("/metrics").await?;
    let line = "wallex_projection_position{";
    Some(metrics.lines().filter(|text| text.starts_with(line)).count())
}

#[tokio::test]
async fn whatever_happens_to_redis_no_command_fails_and_no_read_is_older_than_its_position() {
    let mut redis = Redis::start().await;
    let platform = Platform::with_redis(redis.url()).await;
    let replicas = [platform.start(&["command"]), platform.start(&["command"])];
    let others: [&[&str]; 5] = [
        &["publisher"],
        &["publisher"],
        &["projector", "ledger"],
        &["projector", "read-model"],
        &["projector", "read-model"],
    ];
    let others: Vec<Process> = others.iter().map(|role| platform.start(role)).collect();
    for process in replicas.iter().chain(&others) {
        process.ready().await;
    }
    // While projectors rebalance partitions, reads would wait too long; Redis is not the cause.
    eventually(
        DEADLINE,
        "a half of the partitions for each projector",
        async || {
            let (one, two) = (owned(&others[3]).await?, owned(&others[4]).await?);
            (one == HALF && two == HALF).then_some(())
        },
    )
    .await;

    let api = Arc::new(Api::new([replicas[0].port, replicas[1].port]));
    let load = Arc::new(Load::default());
    let mut readers = Vec::new();
    for index in 0..READERS {
        let asking = [Asking::Wallet, Asking::History][index % 2];
        readers.push(Reader::open(Arc::clone(&api), asking).await);
    }
    let followed = readers[0].wallet();
    let stream = Follower::open(replicas[1].port, followed, readers[0].position()).await;
    let start = |reader: Reader| tokio::spawn(reader.run(Arc::clone(&load)));
    let readers = readers.into_iter().map(start).collect();
    let bench = Bench::start(&platform, replicas[0].port, redis.directory().join("bench.json"));
    let mut scene = Scene {
        platform,
        replicas,
        load,
        readers,
        bench,
    };
    for _ in 0..ROUNDS {
        for torment in TORMENTS {
            scene.torment(&mut redis, torment).await;
        }
    }
    scene.load.over.store(true, Ordering::Relaxed);

    let pool = scene.platform.database.pool().await;
    let (mut asked, mut not_reached) = (0, 0);
    for reader in std::mem::take(&mut scene.readers) {
        let record = reader.await.unwrap();
        asked += record.asked;
        not_reached += record.not_reached;
        let balance: i64 = sqlx::query_scalar("SELECT balance FROM journal.head WHERE wallet_id = $1")
            .bind(record.wallet)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(balance, record.credited, "of wallet {}", record.wallet);
        if record.wallet == followed {
            // The creation is an event too.
            stream.has_every_version_to(record.credited + 1).await;
        }
    }
    scene.bench.end();
    assert!(
        not_reached <= NOT_REACHED,
        "{not_reached} of {asked} reads were too early for the read model"
    );
    scene.platform.verify();
}
