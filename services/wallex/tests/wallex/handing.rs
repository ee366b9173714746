//! Command processes that hand commands on to each other: what that is good for, and what becomes of commands when the
//! one that writes stands still or is killed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use serde_json::json;
use uuid::Uuid;
use wallex_testing::eventually;

use crate::api::{Api, Write};
use crate::platform::Platform;
use crate::process::{DEADLINE, Process};

const CLIENTS: usize = 16;

struct Two {
    platform: Platform,
    processes: Vec<Process>,
    api: Arc<Api>,
    wallets: Vec<Uuid>,
}

/// Series of a metric, by name and labels.
async fn metrics(process: &Process) -> HashMap<String, f64> {
    let (_, text) = process.read("/metrics").await.unwrap();
    let series = text.lines().filter_map(|line| line.rsplit_once(' '));
    series
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

impl Two {
    /// The first one writes, as soon as they know of each other.
    async fn start() -> Self {
        let platform = Platform::new().await;
        let mut processes = Vec::new();
        for _ in 0..2 {
            let process = platform.start(&["command"]);
            process.ready().await;
            processes.push(process);
        }
        for (process, writes) in processes.iter().zip([1.0, 0.0]) {
            eventually(DEADLINE, "the processes to know of each other", async || {
                let shown = metrics(process).await;
                let shown = |name: &str| shown.get(name).copied();
                (shown("wallex_command_live_writers") == Some(2.0)
                    && shown("wallex_command_preferred_writer") == Some(writes))
                .then_some(())
            })
            .await;
        }
        let api = Arc::new(Api::new([processes[0].port, processes[1].port]));
        let mut wallets = Vec::new();
        for n in 0..CLIENTS {
            let create = Write {
                method: Method::POST,
                path: "/v1/wallets".to_owned(),
                key: format!("create-{n}"),
                if_match: None,
                body: json!({"currency": "EUR"}),
            };
            let created = api.write(n, &create).await.unwrap();
            assert_eq!(created.status, 201, "{}", created.body);
            wallets.push(created.body["wallet"]["id"].as_str().unwrap().parse().unwrap());
        }
        Self {
            platform,
            processes,
            api,
            wallets,
        }
    }

    /// Credits the clients' wallets, each through both processes in turn, until told to stop; then their balances are
    /// what was answered.
    fn load(&self, over: &Arc<AtomicBool>, done: &Arc<AtomicUsize>) -> Vec<tokio::task::JoinHandle<i64>> {
        let clients = self.wallets.iter().enumerate();
        clients
            .map(|(number, wallet)| {
                let (api, over, done, wallet) = (self.api.clone(), over.clone(), done.clone(), *wallet);
                tokio::spawn(async move {
                    let mut credited = 0;
                    let mut n = number;
                    while !over.load(Ordering::Relaxed) {
                        n += 1;
                        let credit = Write {
                            method: Method::POST,
                            path: format!("/v1/wallets/{wallet}/credits"),
                            key: format!("{number}-{n}"),
                            if_match: None,
                            body: json!({"amount": 1}),
                        };
                        // A process that is gone or stands still is left for the other one, with the same key.
                        let mut replica = n;
                        loop {
                            let asked = api.write(replica, &credit);
                            let limit = std::time::Duration::from_secs(2);
                            match tokio::time::timeout(limit, asked).await {
                                Ok(Ok(reply)) if reply.status == 201 => break,
                                Ok(Ok(reply)) => assert_eq!(reply.status, 503, "{}", reply.body),
                                Ok(Err(_)) | Err(_) => {}
                            }
                            replica += 1;
                        }
                        credited += 1;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    credited
                })
            })
            .collect()
    }

    async fn assert_balances(&self, clients: Vec<tokio::task::JoinHandle<i64>>) {
        self.platform.assert_balances(&self.wallets, clients).await;
        self.platform.verify();
    }
}

async fn more(done: &AtomicUsize, count: usize) {
    let until = done.load(Ordering::Relaxed) + count;
    eventually(DEADLINE, "load", async || {
        (done.load(Ordering::Relaxed) >= until).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_two_processes_nearly_all_batches_are_written_in_one_trip() {
    let two = Two::start().await;
    let paths = async || {
        let (mut one_trip, mut all, mut answered) = (0.0, 0.0, 0.0);
        for process in &two.processes {
            for (series, value) in metrics(process).await {
                if series.starts_with("wallex_append_path_total") {
                    all += value;
                    one_trip += if series.contains("one_trip") { value } else { 0.0 };
                }
                if series == r#"wallex_append_handed_on_total{outcome="answered"}"# {
                    answered += value;
                }
            }
        }
        (one_trip, all, answered)
    };
    let before = paths().await;
    let (over, done) = (Arc::default(), Arc::default());
    let clients = two.load(&over, &done);
    more(&done, 2_000).await;
    over.store(true, Ordering::Relaxed);
    two.assert_balances(clients).await;
    let after = paths().await;
    let (one_trip, all, answered) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    assert!(answered > 500.0, "{answered} of 2,000 were handed on");
    assert!(one_trip > 0.8 * all, "{one_trip} of {all} batches in one trip");
}

#[tokio::test]
async fn a_writer_that_stands_still_and_is_killed_costs_no_money_and_the_other_one_goes_on() {
    let mut two = Two::start().await;
    let (over, done) = (Arc::default(), Arc::default());
    let clients = two.load(&over, &done);
    more(&done, 200).await;
    // With requests in its hands, again and again: it wakes up with them, long after they were written elsewhere.
    for _ in 0..3 {
        two.processes[0].signal("-STOP");
        more(&done, 50).await;
        two.processes[0].signal("-CONT");
        more(&done, 200).await;
    }
    // Both at once: the one that writes stands still, and the other one is killed with what it has taken over.
    let port = two.processes[1].port;
    two.processes[0].signal("-STOP");
    more(&done, 10).await;
    two.processes[1].kill();
    two.processes[1] = two.platform.restart(&["command"], port);
    two.processes[1].ready().await;
    more(&done, 50).await;
    two.processes[0].signal("-CONT");
    more(&done, 200).await;
    for victim in [0, 1, 0] {
        let port = two.processes[victim].port;
        two.processes[victim].kill();
        more(&done, 50).await;
        two.processes[victim] = two.platform.restart(&["command"], port);
        two.processes[victim].ready().await;
        more(&done, 100).await;
    }
    over.store(true, Ordering::Relaxed);
    two.assert_balances(clients).await;
}
