//! A client that credits its own wallet and immediately reads what it wrote. No one else writes to the wallet, so it
//! knows every expected answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::Load;
use crate::api::{Api, Write};

/// How long a cache entry may be served, plus the drift between different clocks in that time.
const LIFE: Duration = Duration::from_millis(2_000 + 50);

/// How a reader makes sure that its write can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// The wallet itself. The cache may answer if it is recent enough; otherwise its entry is replaced.
    Wallet,
    /// The history, which bypasses the cache: the cache entry is not refreshed.
    History,
}

/// What a reader has done.
#[derive(Default)]
pub(super) struct Record {
    pub(super) wallet: Uuid,
    /// One credit per unit.
    pub(super) credited: i64,
    /// Reads with a position.
    pub(super) asked: u64,
    /// Reads that were answered 503 and retried.
    pub(super) not_reached: u64,
}

pub(super) struct Reader {
    api: Arc<Api>,
    asking: Asking,
    /// Of the last write.
    position: String,
    /// Of the last write; the first event is the creation, every other one a credit of 1.
    version: i64,
    /// The replica of the next request.
    turn: usize,
    /// Versions that were read, and when each answer arrived.
    seen: VecDeque<(Instant, i64)>,
    /// The latest version read longer ago than a cache entry may be served.
    settled: i64,
    record: Record,
}

impl Reader {
    pub(super) async fn open(api: Arc<Api>, asking: Asking) -> Self {
        let mut reader = Self {
            api,
            asking,
            position: String::new(),
            version: 0,
            turn: 0,
            seen: VecDeque::new(),
            settled: 0,
            record: Record::default(),
        };
        let created = reader
            .write("/v1/wallets".to_owned(), json!({"currency": "EUR"}))
            .await;
        reader.record.wallet = created["wallet"]["id"].as_str().unwrap().parse().unwrap();
        // Publishers and projectors that have just started may still be distributing the partitions.
        reader.own_write().await;
        reader.record.not_reached = 0;
        reader
    }

    pub(super) fn wallet(&self) -> Uuid {
        self.record.wallet
    }

    pub(super) fn position(&self) -> &str {
        &self.position
    }

    pub(super) async fn run(mut self, load: Arc<Load>) -> Record {
        while !load.over.load(Ordering::Relaxed) {
            let credits = format!("/v1/wallets/{}/credits", self.record.wallet);
            self.write(credits, json!({"amount": 1})).await;
            self.record.credited += 1;
            self.plain().await;
            match self.asking {
                Asking::Wallet => {
                    // The second replica may answer from what the first put into the cache.
                    self.own_write().await;
                    self.own_write().await;
                }
                Asking::History => {
                    self.history().await;
                    self.plain().await;
                }
            }
            self.plain().await;
            load.done.fetch_add(1, Ordering::Relaxed);
        }
        self.own_write().await;
        self.record
    }

    /// Must succeed at once. Updates the wallet's version and position.
    async fn write(&mut self, path: String, body: Value) -> Value {
        let write = Write {
            method: http::Method::POST,
            path,
            key: Uuid::now_v7().to_string(),
            if_match: None,
            body,
        };
        let replica = self.next_replica();
        let reply = self.api.write(replica, &write).await.unwrap();
        assert_eq!(reply.status, 201, "{write:?}: {}", reply.body);
        assert!(!reply.replayed, "{write:?}");
        self.version += 1;
        assert_eq!(reply.body["wallet"]["version"], self.version);
        self.position = reply.position.unwrap();
        reply.body
    }

    /// With the position of the last write, the read shows the wallet as that write left it.
    async fn own_write(&mut self) {
        let wallet = self.read(&self.path(""), true).await;
        let version = self.check(&wallet);
        assert_eq!(version, self.version, "older than {}: {wallet}", self.position);
        self.seen.push_back((Instant::now(), version));
    }

    async fn history(&mut self) {
        let page = self.read(&self.path("/transactions?limit=1"), true).await;
        let version = page["items"][0]["version"].as_i64().unwrap();
        assert_eq!(version, self.version, "older than {}: {page}", self.position);
        self.seen.push_back((Instant::now(), version));
    }

    /// Without a position the answer may be old, but not older than what was read before the lifetime of a cache entry.
    async fn plain(&mut self) {
        let asked = Instant::now();
        while let Some((at, version)) = self.seen.front()
            && asked.duration_since(*at) > LIFE
        {
            self.settled = self.settled.max(*version);
            self.seen.pop_front();
        }
        let wallet = self.read(&self.path(""), false).await;
        let version = self.check(&wallet);
        assert!(
            (self.settled..=self.version).contains(&version),
            "read {} and wrote {}, and now: {wallet}",
            self.settled,
            self.version
        );
        self.seen.push_back((Instant::now(), version));
    }

    /// Whatever its version, the wallet is consistent. Returns the version.
    fn check(&self, wallet: &Value) -> i64 {
        assert_eq!(wallet["id"], self.record.wallet.to_string());
        let version = wallet["version"].as_i64().unwrap();
        assert_eq!(wallet["balance"], version - 1, "{wallet}");
        version
    }

    async fn read(&mut self, path: &str, positioned: bool) -> Value {
        let position = if positioned {
            self.position.clone()
        } else {
            String::new()
        };
        self.record.asked += u64::from(positioned);
        loop {
            let replica = self.next_replica();
            let reply = self.api.read(replica, path, &position).await.unwrap();
            if positioned && reply.status == 503 && reply.body["code"] == "position_not_reached" {
                self.record.not_reached += 1;
                continue;
            }
            assert_eq!(reply.status, 200, "{path} at {position}: {}", reply.body);
            return reply.body;
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/wallets/{}{rest}", self.record.wallet)
    }

    fn next_replica(&mut self) -> usize {
        self.turn += 1;
        self.turn
    }
}
