use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::Level;
use wallex_runtime::redis::{Accelerator, Heard, Subscription};
use wallex_runtime::{Flags, Settings};
use wallex_testing::{eventually, unique_name};

use crate::DEADLINE;
use crate::door::Door;
use crate::lines::Lines;

/// The most time that a caller of the accelerator loses.
const BOUND: Duration = Duration::from_millis(150);

fn accelerator(url: String) -> Accelerator {
    Accelerator::connect(
        &Settings::from_flags(&Flags {
            redis_url: Some(url),
            ..Flags::default()
        })
        .unwrap(),
    )
}

fn server() -> SocketAddr {
    let url = wallex_testing::redis();
    let address = url
        .rsplit_once('@')
        .map_or(url.trim_start_matches("redis://"), |(_, address)| address);
    address.split('/').next().unwrap().parse().unwrap()
}

async fn none_in_time(accelerator: &Accelerator) {
    let started = Instant::now();
    assert_eq!(accelerator.get("key").await, None);
    assert!(!accelerator.set_px("key", b"value", Duration::from_secs(1)).await);
    assert!(
        started.elapsed() < BOUND,
        "two calls took {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn without_redis_there_is_simply_nothing() {
    let lines = Lines::collect(Level::DEBUG);
    none_in_time(&Accelerator::connect(
        &Settings::from_flags(&Flags::default()).unwrap(),
    ))
    .await;
    assert!(lines.with(&["Redis"]).is_empty(), "{:?}", lines.all());
}

#[tokio::test]
async fn an_unreachable_redis_warns_once_and_costs_nothing() {
    let door = Door::shut();
    let lines = Lines::collect(Level::DEBUG);
    let accelerator = accelerator(format!("redis://:hunter2@{}", door.address));
    none_in_time(&accelerator).await;
    eventually(DEADLINE, "a few tries", async || {
        (lines.with(&["cannot be reached"]).len() > 2).then_some(())
    })
    .await;
    none_in_time(&accelerator).await;
    assert_eq!(
        lines
            .with(&["WARN", "redis_url", &door.address.to_string()])
            .len(),
        1,
        "{:?}",
        lines.all()
    );
    assert!(lines.with(&["hunter2"]).is_empty(), "{:?}", lines.all());
}

#[tokio::test]
async fn a_silent_redis_costs_nothing() {
    let mut door = Door::shut();
    door.open_silent();
    let accelerator = accelerator(format!("redis://{}", door.address));
    none_in_time(&accelerator).await;
}

#[tokio::test]
async fn an_unreadable_url_is_logged_without_it() {
    let lines = Lines::collect(Level::DEBUG);
    none_in_time(&accelerator("hunter2://nonsense".to_owned())).await;
    assert_eq!(lines.with(&["ERROR", "redis_url"]).len(), 1, "{:?}", lines.all());
    assert!(lines.with(&["hunter2"]).is_empty(), "{:?}", lines.all());
}

#[tokio::test]
async fn redis_may_come_go_and_return() {
    let mut door = Door::shut();
    let lines = Lines::collect(Level::INFO);
    let accelerator =
        accelerator(wallex_testing::redis().replace(&server().to_string(), &door.address.to_string()));
    eventually(DEADLINE, "the warning", async || {
        lines.with(&["WARN", "continuing without it"]).pop()
    })
    .await;
    door.open(server());
    eventually(DEADLINE, "Redis", async || accelerator.alive().then_some(())).await;
    assert_eq!(
        lines.with(&["INFO", "Redis is back"]).len(),
        1,
        "{:?}",
        lines.all()
    );

    let key = unique_name("accelerator");
    assert!(accelerator.set_px(&key, b"value", Duration::from_secs(60)).await);
    assert_eq!(accelerator.get(&key).await.as_deref(), Some(&b"value"[..]));
    assert!(accelerator.delete(&key).await);
    assert_eq!(accelerator.get(&key).await, None);
    assert!(accelerator.alive(), "an absent key is no trouble");
    let refused: Option<u64> = accelerator.query(redis::cmd("NOTACOMMAND").arg(&key)).await;
    assert!(
        refused.is_none() && accelerator.alive(),
        "a refused command is no trouble either"
    );

    door.close();
    none_in_time(&accelerator).await;
    eventually(DEADLINE, "the loss to be noticed", async || {
        (!accelerator.alive()).then_some(())
    })
    .await;
    eventually(DEADLINE, "the second warning", async || {
        (lines.with(&["WARN"]).len() > 1).then_some(())
    })
    .await;
    door.open(server());
    eventually(DEADLINE, "Redis again", async || {
        accelerator.alive().then_some(())
    })
    .await;

    // Frozen after it has worked: one caller pays the budget, the next ones nothing.
    door.close();
    eventually(DEADLINE, "the loss to be noticed", async || {
        (!accelerator.alive()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_freezes_costs_its_callers_one_budget_together() {
    let mut door = Door::shut();
    door.open(server());
    let accelerator =
        accelerator(wallex_testing::redis().replace(&server().to_string(), &door.address.to_string()));
    eventually(DEADLINE, "Redis", async || accelerator.alive().then_some(())).await;
    // The connection stays open but the server does not answer: a blocking command looks like a freeze from here.
    let started = Instant::now();
    let mut blocking = redis::cmd("BLPOP");
    blocking.arg(unique_name("never")).arg(5);
    let frozen: Option<Vec<String>> = accelerator.query(&blocking).await;
    assert!(
        frozen.is_none() && started.elapsed() < BOUND,
        "took {:?}",
        started.elapsed()
    );
    none_in_time(&accelerator).await;
    eventually(DEADLINE, "a new connection", async || {
        accelerator.alive().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_script_runs_as_one_step_and_a_wrong_one_is_no_trouble() {
    let mut door = Door::shut();
    door.open(server());
    let accelerator =
        accelerator(wallex_testing::redis().replace(&server().to_string(), &door.address.to_string()));
    eventually(DEADLINE, "Redis", async || accelerator.alive().then_some(())).await;
    let key = unique_name("accelerator");
    let script = "redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000) return redis.call('STRLEN', KEYS[1])";
    assert_eq!(
        accelerator.eval::<u64>(script, &[&key], &[b"va\0lue"]).await,
        Some(6)
    );
    assert_eq!(accelerator.get(&key).await.as_deref(), Some(&b"va\0lue"[..]));
    assert_eq!(accelerator.eval::<u64>("nonsense", &[], &[]).await, None);
    assert!(accelerator.alive());
    assert_eq!(
        Accelerator::none().eval::<u64>(script, &[&key], &[b"x"]).await,
        None
    );
    assert!(accelerator.delete(&key).await);
}

/// Publishes until a subscriber hears it.
async fn next_message(accelerator: &Accelerator, channel: &str, subscription: &mut Subscription) -> Heard {
    eventually(DEADLINE, "a message", async || {
        accelerator.publish(channel, b"news").await;
        tokio::time::timeout(Duration::from_millis(200), subscription.next())
            .await
            .ok()
    })
    .await
}

#[tokio::test]
async fn a_subscription_says_when_it_may_have_missed_something() {
    let mut door = Door::shut();
    let accelerator =
        accelerator(wallex_testing::redis().replace(&server().to_string(), &door.address.to_string()));
    let channel = unique_name("channel");
    let mut subscription = accelerator.subscribe(&channel);
    door.open(server());
    for _ in 0..2 {
        assert_eq!(
            next_message(&accelerator, &channel, &mut subscription).await,
            Heard::Connected
        );
        assert_eq!(
            next_message(&accelerator, &channel, &mut subscription).await,
            Heard::Message(b"news".to_vec())
        );
        door.close();
        eventually(DEADLINE, "the loss", async || {
            (subscription.next().await == Heard::Lost).then_some(())
        })
        .await;
        door.open(server());
    }
}

#[tokio::test]
async fn without_redis_a_subscription_is_silent() {
    let mut subscription = Accelerator::none().subscribe("channel");
    let heard = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
    assert!(heard.is_err());
    assert!(!Accelerator::none().publish("channel", b"news").await);
}
