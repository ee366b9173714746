//! The cache of balances, on a real PostgreSQL and Redis. Redis may be anything; the answer may not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod door;
mod stand;

use std::time::Duration;

use axum::Router;
use serde_json::json;
use wallex_platform::redis::Accelerator;
use wallex_query::router;
use wallex_testing::{eventually, unique_name};

use crate::door::Door;
use crate::stand::{A, Reply, Stand, accelerator, get, refused};

const DEADLINE: Duration = Duration::from_secs(10);
/// What production has.
const LIFE: Duration = Duration::from_secs(2);

struct Cached {
    stand: Stand,
    router: Router,
    redis: Accelerator,
    door: Door,
    platform: String,
}

impl Cached {
    /// With Redis connected, and wallet A at 3:100 with 100. What is in the cache stays there for the whole test.
    async fn set_up() -> Self {
        Self::with_life(Duration::from_secs(60)).await
    }

    async fn with_life(life: Duration) -> Self {
        let stand = Stand::set_up().await;
        let door = Door::opened();
        let redis = accelerator(&door.url());
        let platform = unique_name("cluster/namespace/platform");
        let state = stand.state().with_redis(redis.clone(), &platform);
        let router = router(state.with_cache_life(life));
        let cached = Self {
            stand,
            router,
            redis,
            door,
            platform,
        };
        cached.connected().await;
        cached.stand.wallet(A, 100, 7, 100).await;
        cached
    }

    async fn connected(&self) {
        eventually(DEADLINE, "Redis", async || self.redis.alive().then_some(())).await;
    }

    fn key(&self) -> String {
        format!("wallex:{}:wallet:{A}", self.platform)
    }

    async fn read(&self) -> Reply {
        let reply = get(&self.router, &format!("/v1/wallets/{A}"), &[]).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("etag"), format!("\"{}\"", reply.body["version"]));
        reply
    }

    async fn balance(&self) -> i64 {
        self.read().await.body["balance"].as_i64().unwrap()
    }

    async fn balance_at(&self, position: &str) -> i64 {
        let headers = [("Wallex-Min-Position", position)];
        let reply = get(&self.router, &format!("/v1/wallets/{A}"), &headers).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["balance"].as_i64().unwrap()
    }

    /// Reads until Redis has the answer.
    async fn filled(&self) {
        eventually(DEADLINE, "the entry", async || {
            self.read().await;
            self.redis.get(&self.key()).await
        })
        .await;
    }
}

/// What an answer is when it came from PostgreSQL: the row is changed behind the cache's back, so that the two differ.
async fn change(stand: &Stand, balance: i64) {
    stand
        .execute(&format!("UPDATE read_model.wallet SET balance = {balance}"))
        .await;
}

#[tokio::test]
async fn a_plain_read_is_answered_from_the_cache() {
    let cached = Cached::set_up().await;
    let first = cached.read().await;
    cached.filled().await;
    change(&cached.stand, 1).await;
    let second = cached.read().await;
    assert_eq!(first.body, second.body);
    assert_eq!(first.headers, second.headers);
}

#[tokio::test]
async fn an_entry_lives_two_seconds() {
    let cached = Cached::with_life(LIFE).await;
    cached.filled().await;
    let left: i64 = cached
        .redis
        .query(redis::cmd("PTTL").arg(cached.key()))
        .await
        .unwrap();
    assert!(left <= 2_000, "{left} ms");
    change(&cached.stand, 1).await;
    eventually(DEADLINE, "the entry's end", async || {
        (cached.balance().await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_erasure_does_not_outlive_the_entry() {
    let cached = Cached::with_life(LIFE).await;
    cached.filled().await;
    cached
        .stand
        .execute("UPDATE read_model.wallet SET owner = NULL")
        .await;
    eventually(DEADLINE, "the name's end", async || {
        cached.read().await.body.get("owner").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cached_answer_is_never_older_than_the_position_asked_for() {
    let cached = Cached::set_up().await;
    cached.filled().await;
    cached.stand.wallet(A, 101, 8, 500).await;
    assert_eq!(cached.balance_at("3:100").await, 100, "the entry will do");
    assert_eq!(cached.balance_at("3:101").await, 500, "the entry is older");
    // That read has filled the cache anew: no read goes back behind it.
    eventually(DEADLINE, "the newer entry", async || {
        (cached.balance().await == 500).then_some(())
    })
    .await;
    change(&cached.stand, 1).await;
    assert_eq!(cached.balance_at("3:101").await, 500);
    // Another partition's position says nothing about this entry.
    cached.stand.cursor("read_model", 7, 88).await;
    assert_eq!(cached.balance_at("3:101,7:88").await, 1);
}

#[tokio::test]
async fn an_answer_of_the_cache_is_as_of_the_cursor_not_of_the_wallet() {
    let cached = Cached::set_up().await;
    // Others of the partition have got further; the wallet itself is still as it was at 3:100.
    cached.stand.cursor("read_model", 3, 900).await;
    cached.filled().await;
    change(&cached.stand, 1).await;
    assert_eq!(cached.balance_at("3:900").await, 100);
}

#[tokio::test]
async fn a_wallet_that_is_not_there_is_not_remembered_as_such() {
    let cached = Cached::set_up().await;
    let path = format!("/v1/wallets/{}", stand::B);
    refused(&cached.router, &path, &[], 404, "wallet_not_found").await;
    cached.stand.wallet(stand::B, 101, 1, 5).await;
    assert_eq!(get(&cached.router, &path, &[]).await.body["balance"], json!(5));
}

#[tokio::test]
async fn two_platforms_on_one_redis_do_not_share_wallets() {
    let cached = Cached::set_up().await;
    cached.filled().await;
    let other = Stand::set_up().await;
    other.wallet(A, 100, 7, 999).await;
    let state = other.state().with_redis(cached.redis.clone(), "another");
    let reply = get(&router(state), &format!("/v1/wallets/{A}"), &[]).await;
    assert_eq!(reply.body["balance"], json!(999));
}

#[tokio::test]
async fn a_poisoned_entry_is_asked_of_postgresql() {
    let cached = Cached::set_up().await;
    cached.filled().await;
    let good = cached.redis.get(&cached.key()).await.unwrap();
    let mut forged = good.clone();
    let at = forged.windows(3).position(|three| three == b"100").unwrap();
    forged[at] = b'9';
    for garbage in [
        b"\xff\xfe\0".to_vec(),
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        forged,
    ] {
        change(&cached.stand, 1).await;
        let long = Duration::from_secs(60);
        assert!(cached.redis.set_px(&cached.key(), &garbage, long).await);
        assert_eq!(cached.balance().await, 1);
    }
}

#[tokio::test]
async fn a_flushed_redis_is_asked_of_postgresql() {
    let cached = Cached::set_up().await;
    cached.filled().await;
    change(&cached.stand, 1).await;
    // Of a flush, this key sees its own removal.
    assert!(cached.redis.delete(&cached.key()).await);
    assert_eq!(cached.balance().await, 1);
}

#[tokio::test]
async fn without_redis_every_read_is_postgresqls() {
    let stand = Stand::set_up().await;
    stand.wallet(A, 100, 7, 100).await;
    let nowhere = Door::shut();
    for redis in [Accelerator::none(), accelerator(&nowhere.url())] {
        let router = router(stand.state().with_redis(redis, "platform"));
        for balance in [1, 2] {
            change(&stand, balance).await;
            let reply = get(&router, &format!("/v1/wallets/{A}"), &[]).await;
            assert_eq!(reply.body["balance"], json!(balance));
        }
    }
}

#[tokio::test]
async fn a_redis_that_stops_and_comes_back_is_no_trouble() {
    let mut cached = Cached::with_life(LIFE).await;
    cached.filled().await;
    cached.door.close();
    change(&cached.stand, 1).await;
    assert_eq!(cached.balance().await, 1);
    cached.door.open();
    cached.connected().await;
    change(&cached.stand, 2).await;
    eventually(DEADLINE, "the entry's end", async || {
        (cached.balance().await == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_pauses_holds_no_reader_up() {
    let cached = Cached::with_life(LIFE).await;
    cached.filled().await;
    change(&cached.stand, 1).await;
    cached.door.hold();
    let begin = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(cached.balance().await, 1);
    }
    assert!(
        begin.elapsed() < Duration::from_millis(1_800),
        "{:?}",
        begin.elapsed()
    );
    cached.door.release();
    cached.connected().await;
    eventually(DEADLINE, "the entry's end", async || {
        (cached.balance().await == 1).then_some(())
    })
    .await;
}
