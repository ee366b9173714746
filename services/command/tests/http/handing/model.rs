//! Random movements through both processes, over a wire that is cut, held and halved at random: afterwards every answer
//! and every balance is as if one process had written everything once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::*;

const WALLETS: usize = 6;
const CLIENTS: usize = 12;
const REQUESTS: usize = 25;
const START: i64 = 1_000;

/// Repeats a request, at either process, until there is an answer that says what happened.
async fn settled(two: &Two, random: &mut StdRng, path: &str, key: &str, body: &Value) -> Reply {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let process = &two.processes[random.random_range(0..2)];
        let reply = process.post(path, key, body.clone()).await;
        if reply.status.as_u16() != 503 {
            return reply;
        }
        assert!(Instant::now() < deadline, "{key}: {}", reply.body);
    }
}

async fn torment(two: &Two, seed: u64, over: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(seed);
    while !over.load(Ordering::SeqCst) {
        let mode =
            [Mode::Pass, Mode::HoldOutcomes, Mode::HoldRequests, Mode::Halve][random.random_range(0..4)];
        two.set(mode);
        // Part of the scenario, not a condition: how long the wire stays so.
        tokio::time::sleep(Duration::from_millis(random.random_range(5..1_500))).await;
        if random.random() {
            two.processes.iter().for_each(|process| process.wire.cut());
        }
        two.set(Mode::Pass);
        tokio::time::sleep(Duration::from_millis(random.random_range(5..600))).await;
    }
}

async fn client(two: &Two, wallets: &[String], balances: &[AtomicI64], number: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed + number as u64);
    for n in 0..REQUESTS {
        let (from, to) = (random.random_range(0..WALLETS), random.random_range(0..WALLETS));
        let amount: i64 = random.random_range(1..400);
        let key = format!("{number}-{n}");
        let (path, body) = match random.random_range(0..3) {
            0 => (
                format!("/v1/wallets/{}/credits", wallets[to]),
                json!({"amount": amount}),
            ),
            1 => (
                format!("/v1/wallets/{}/debits", wallets[from]),
                json!({"amount": amount}),
            ),
            _ if from == to => continue,
            _ => {
                let body = json!({"from": wallets[from], "to": wallets[to], "amount": amount});
                ("/v1/transfers".to_owned(), body)
            }
        };
        let reply = settled(two, &mut random, &path, &key, &body).await;
        let again = settled(two, &mut random, &path, &key, &body).await;
        assert_eq!((&again.body, again.status), (&reply.body, reply.status), "{key}");
        match reply.status.as_u16() {
            201 => {
                if !path.ends_with("credits") {
                    balances[from].fetch_sub(amount, Ordering::SeqCst);
                }
                if !path.ends_with("debits") {
                    balances[to].fetch_add(amount, Ordering::SeqCst);
                }
            }
            _ => reply.assert_problem(422, "insufficient_funds"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_movements_over_a_bad_wire_are_each_done_once() {
    let seed = rand::random::<u64>() >> 8;
    println!("seed {seed}");
    let two = Two::new().await;
    let mut wallets = Vec::new();
    for n in 0..WALLETS {
        wallets.push(two.app.wallet(&format!("w{n}"), START).await);
    }
    let balances: Arc<[AtomicI64]> = (0..WALLETS).map(|_| AtomicI64::new(START)).collect();
    let over = AtomicBool::new(false);
    let clients = (0..CLIENTS).map(|number| client(&two, &wallets, &balances, number, seed));
    let work = async {
        futures::future::join_all(clients).await;
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(work, torment(&two, seed, &over));

    // Whatever still stood on the wire comes through, and changes nothing.
    two.set(Mode::Pass);
    two.handing_on().await;
    for (wallet, balance) in wallets.iter().zip(balances.iter()) {
        assert_eq!(
            two.app.balance(wallet).await,
            balance.load(Ordering::SeqCst),
            "{wallet}"
        );
    }
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM journal.answer GROUP BY caller, key HAVING count(*) > 1) AS twice",
    )
    .fetch_one(&two.app.pool)
    .await
    .unwrap();
    assert_eq!(twice, 0, "keys with two answers");
    two.assert_whole().await;
}
