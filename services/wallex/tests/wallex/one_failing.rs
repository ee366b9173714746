//! One wallet among fifty that cannot be written, and how much throughput the others keep, on the real binary: `cargo
//! test --workspace --test wallex -- --ignored --nocapture one_failing`. `WALLEX_TEST_WINDOW_S` and
//! `WALLEX_TEST_ROUNDS` make it longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wallex_testing::eventually;

use crate::api::{Api, Write};
use crate::platform::Platform;
use crate::process::{DEADLINE, Process};

const WALLETS: usize = 50;
/// The share of their rate that the others must keep.
const BAR: f64 = 0.9;

/// One worker per wallet that credits it without pause and immediately retries refusals.
struct Load {
    wallets: Vec<Uuid>,
    done: Arc<Vec<AtomicU64>>,
    refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(role: &Process) -> Self {
        let api = Arc::new(Api::new([role.port, role.port]));
        let mut load = Self {
            wallets: (0..WALLETS).map(|_| Uuid::now_v7()).collect(),
            done: Arc::new((0..WALLETS).map(|_| AtomicU64::new(0)).collect()),
            refused: Arc::default(),
            stop: Arc::default(),
            workers: Vec::new(),
        };
        for at in 0..WALLETS {
            load.workers.push(tokio::spawn(work(
                api.clone(),
                load.wallets[at],
                at,
                load.done.clone(),
                load.refused.clone(),
                load.stop.clone(),
            )));
        }
        eventually(DEADLINE, "a credit of every wallet", async || {
            let all = load.done.iter().all(|done| done.load(Ordering::Relaxed) > 0);
            all.then_some(())
        })
        .await;
        load
    }

    /// Operations per second on all wallets except the first, measured over `window`.
    async fn rate_of_the_others(&self, window: Duration) -> f64 {
        let count = || -> u64 {
            self.done[1..]
                .iter()
                .map(|done| done.load(Ordering::Relaxed))
                .sum()
        };
        let (before, began) = (count(), Instant::now());
        tokio::time::sleep(window).await;
        (count() - before) as f64 / began.elapsed().as_secs_f64()
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.unwrap();
        }
    }
}

async fn work(
    api: Arc<Api>,
    wallet: Uuid,
    at: usize,
    done: Arc<Vec<AtomicU64>>,
    refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let mut write = Write {
        method: http::Method::POST,
        path: "/v1/wallets".to_owned(),
        key: format!("create-{at}"),
        if_match: None,
        body: json!({"id": wallet, "currency": "EUR"}),
    };
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        match api.write(0, &write).await {
            Ok(reply) if reply.status == 201 => {
                done[at].fetch_add(1, Ordering::Relaxed);
                n += 1;
                write.path = format!("/v1/wallets/{wallet}/credits");
                write.key = format!("credit-{at}-{n}");
                write.body = json!({"amount": 1});
            }
            Ok(_) | Err(_) => {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What is wrong with the first wallet.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// This build cannot read its head row.
    Unreadable,
    /// Another session has locked its head row.
    Locked,
    /// Writing one of its events takes a minute: its batch hits the statement timeout.
    Slow,
}

impl Trouble {
    /// The rate of the others while the trouble lasts, including its beginning.
    async fn rate(self, load: &Load, pool: &PgPool, window: Duration) -> f64 {
        let id = load.wallets[0];
        let (begin, end) = match self {
            Self::Unreadable => (
                format!("UPDATE journal.head SET currency = '?' WHERE wallet_id = '{id}'"),
                format!("UPDATE journal.head SET currency = 'EUR' WHERE wallet_id = '{id}'"),
            ),
            Self::Locked => (
                format!("BEGIN; SELECT 1 FROM journal.head WHERE wallet_id = '{id}' FOR UPDATE"),
                "ROLLBACK".to_owned(),
            ),
            Self::Slow => (
                format!(
                    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                         $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
                     CREATE TRIGGER slow BEFORE INSERT ON journal.event FOR EACH ROW
                         WHEN (NEW.wallet_id = '{id}') EXECUTE FUNCTION slow()"
                ),
                "DROP TRIGGER slow ON journal.event; DROP FUNCTION slow()".to_owned(),
            ),
        };
        let mut session = pool.acquire().await.unwrap();
        let run = async |session: &mut sqlx::PgConnection, statements: String| {
            sqlx::raw_sql(AssertSqlSafe(statements))
                .execute(session)
                .await
                .unwrap();
        };
        run(&mut session, begin).await;
        let rate = load.rate_of_the_others(window).await;
        run(&mut session, end).await;
        rate
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: some minutes of load"]
async fn what_one_failing_wallet_costs_forty_nine_others() {
    let window = Duration::from_secs(number("WALLEX_TEST_WINDOW_S", 10));
    let rounds = number("WALLEX_TEST_ROUNDS", 5);
    let platform = Platform::new().await;
    let role = platform.start(&["command"]);
    role.ready().await;
    let pool = platform.database.pool().await;
    let load = Load::start(&role).await;
    // Plans, connections, caches.
    load.rate_of_the_others(window / 2).await;
    let mut worst: f64 = 1.0;
    for trouble in [Trouble::Unreadable, Trouble::Locked, Trouble::Slow] {
        let mut ratios = Vec::new();
        let mut before = load.rate_of_the_others(window).await;
        for _ in 0..rounds {
            let refused = load.refused.load(Ordering::Relaxed);
            let meanwhile = trouble.rate(&load, &pool, window).await;
            let refused = load.refused.load(Ordering::Relaxed) - refused;
            let after = load.rate_of_the_others(window).await;
            let ratio = meanwhile / f64::midpoint(before, after);
            println!(
                "{trouble:?}: {before:.0} writes/s of the others before, {meanwhile:.0} meanwhile, {after:.0} after: \
                 ratio {ratio:.2}; {refused} refused"
            );
            ratios.push(ratio);
            before = after;
        }
        ratios.sort_by(f64::total_cmp);
        println!("{trouble:?}: median ratio {:.2}", ratios[ratios.len() / 2]);
        worst = worst.min(ratios[ratios.len() / 2]);
    }
    load.end().await;
    platform.verify();
    assert!(worst >= BAR, "{worst:.2}");
}
