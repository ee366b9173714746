//! The cache of balances, on a real PostgreSQL and Redis. Redis may misbehave; the answer may not.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;
use wallex_projections::Name;
use wallex_runtime::redis::Accelerator;
use wallex_testing::{eventually, unique_name};

use crate::api::{A, Api, B, Reply};
use crate::door::{Door, accelerator};

const DEADLINE: Duration = wallex_testing::DEADLINE;
/// The production value.
const LIFE: Duration = Duration::from_secs(2);

struct Cached {
    api: Api,
    redis: Accelerator,
    door: Door,
    platform: String,
}

impl Cached {
    /// Connects Redis, with wallet A at 3:100 and a balance of 100. Cache entries live for the whole test.
    async fn set_up() -> Self {
        Self::with_life(Duration::from_secs(60)).await
    }

    async fn with_life(life: Duration) -> Self {
        let mut api = Api::start().await;
        let door = Door::opened();
        let redis = accelerator(&door.url());
        let platform = unique_name("cluster/namespace/platform");
        let state = api.state().with_redis(redis.clone(), &platform);
        api.serve(state.with_cache_life(life));
        let cached = Self {
            api,
            redis,
            door,
            platform,
        };
        cached.connected().await;
        projected(&cached.api, A, 100, 7, 100).await;
        cached
    }

    async fn connected(&self) {
        eventually(DEADLINE, "Redis", async || self.redis.alive().then_some(())).await;
    }

    fn key(&self) -> String {
        format!("wallex:{}:wallet:{A}", self.platform)
    }

    async fn read(&self) -> Reply {
        let reply = self.api.get(&format!("/v1/wallets/{A}")).await;
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
        let reply = self.api.get_with(&format!("/v1/wallets/{A}"), &headers).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["balance"].as_i64().unwrap()
    }

    /// Reads until Redis has stored the answer.
    async fn filled(&self) {
        eventually(DEADLINE, "the entry", async || {
            self.read().await;
            self.redis.get(&self.key()).await
        })
        .await;
    }
}

/// Brings the wallet to a version and its partition's cursor to `seq`, as the projector does.
async fn projected(api: &Api, id: Uuid, seq: i64, version: i64, balance: i64) {
    api.stands(id, seq, version, balance).await;
}

/// Changes the row behind the cache's back, so that an answer from PostgreSQL can be told from a cached one.
async fn change(api: &Api, balance: i64) {
    api.execute(&format!("UPDATE read_model.wallet SET balance = {balance}"))
        .await;
}

#[tokio::test]
async fn a_plain_read_is_answered_from_the_cache() {
    let cached = Cached::set_up().await;
    let first = cached.read().await;
    cached.filled().await;
    change(&cached.api, 1).await;
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
    change(&cached.api, 1).await;
    eventually(DEADLINE, "the entry's end", async || {
        (cached.balance().await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_erasure_does_not_outlive_the_entry() {
    let cached = Cached::with_life(LIFE).await;
    cached
        .api
        .execute("UPDATE read_model.wallet SET owner = 'Ada'")
        .await;
    cached.filled().await;
    assert_eq!(cached.read().await.body["owner"], json!("Ada"));
    cached
        .api
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
    projected(&cached.api, A, 101, 8, 500).await;
    assert_eq!(cached.balance_at("3:100").await, 100, "the entry will do");
    assert_eq!(cached.balance_at("3:101").await, 500, "the entry is older");
    // That read has refilled the cache: no later read goes back behind it.
    eventually(DEADLINE, "the newer entry", async || {
        (cached.balance().await == 500).then_some(())
    })
    .await;
    change(&cached.api, 1).await;
    assert_eq!(cached.balance_at("3:101").await, 500);
    // Another partition's position says nothing about this entry.
    cached.api.cursor(Name::ReadModel, 7, 88).await;
    assert_eq!(cached.balance_at("3:101,7:88").await, 1);
}

#[tokio::test]
async fn an_answer_of_the_cache_is_as_of_the_cursor_not_of_the_wallet() {
    let cached = Cached::set_up().await;
    // Other wallets in the partition have advanced; this wallet is still as it was at 3:100.
    cached.api.cursor(Name::ReadModel, 3, 900).await;
    cached.filled().await;
    change(&cached.api, 1).await;
    assert_eq!(cached.balance_at("3:900").await, 100);
}

#[tokio::test]
async fn a_wallet_that_is_not_there_is_not_remembered_as_such() {
    let cached = Cached::set_up().await;
    let path = format!("/v1/wallets/{B}");
    cached.api.refuses(&path, 404, "wallet_not_found").await;
    projected(&cached.api, B, 101, 1, 5).await;
    assert_eq!(cached.api.get(&path).await.body["balance"], json!(5));
}

#[tokio::test]
async fn two_platforms_on_one_redis_do_not_share_wallets() {
    let cached = Cached::set_up().await;
    cached.filled().await;
    let mut other = Api::start().await;
    projected(&other, A, 100, 7, 999).await;
    let state = other.state().with_redis(cached.redis.clone(), "another");
    other.serve(state);
    let reply = other.get(&format!("/v1/wallets/{A}")).await;
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
        change(&cached.api, 1).await;
        let long = Duration::from_secs(60);
        assert!(cached.redis.set_px(&cached.key(), &garbage, long).await);
        assert_eq!(cached.balance().await, 1);
    }
}

#[tokio::test]
async fn a_flushed_redis_is_asked_of_postgresql() {
    let cached = Cached::set_up().await;
    cached.filled().await;
    change(&cached.api, 1).await;
    // To this key, a flush is just its own removal.
    assert!(cached.redis.delete(&cached.key()).await);
    assert_eq!(cached.balance().await, 1);
}

#[tokio::test]
async fn without_redis_every_read_is_postgresqls() {
    let mut api = Api::start().await;
    projected(&api, A, 100, 7, 100).await;
    let nowhere = Door::shut();
    for redis in [Accelerator::none(), accelerator(&nowhere.url())] {
        api.serve(api.state().with_redis(redis, "platform"));
        for balance in [1, 2] {
            change(&api, balance).await;
            let reply = api.get(&format!("/v1/wallets/{A}")).await;
            assert_eq!(reply.body["balance"], json!(balance));
        }
    }
}

#[tokio::test]
async fn a_redis_that_stops_and_comes_back_is_no_trouble() {
    let mut cached = Cached::with_life(LIFE).await;
    cached.filled().await;
    cached.door.close();
    change(&cached.api, 1).await;
    assert_eq!(cached.balance().await, 1);
    cached.door.open();
    cached.connected().await;
    change(&cached.api, 2).await;
    eventually(DEADLINE, "the entry's end", async || {
        (cached.balance().await == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_pauses_holds_no_reader_up() {
    let cached = Cached::with_life(LIFE).await;
    cached.filled().await;
    change(&cached.api, 1).await;
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
