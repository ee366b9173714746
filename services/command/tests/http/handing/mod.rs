//! Two command processes: one writes, the other one hands on what it is asked, whatever happens to the wire between them.

mod model;
mod wire;

use std::time::{Duration, Instant};

use axum::Router;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wallex_command::{Batcher, BatcherConfig, Member, MemberConfig};
use wallex_testing::{DEADLINE, eventually};

use crate::app::*;
use wire::{Mode, Wire};

/// A command process with its internal listener, reached through a wire.
struct Process {
    router: Router,
    batcher: Batcher,
    member: Member,
    wire: Wire,
    shutdown: CancellationToken,
}

impl Process {
    /// Starts it, and waits until it is among the `count` that are alive.
    async fn start(app: &App, config: &BatcherConfig, count: i64) -> Self {
        let (router, batcher) = replica(&app.database, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Wire::to(listener.local_addr().unwrap()).await;
        let shutdown = CancellationToken::new();
        let config = MemberConfig {
            address: wire.address.clone(),
            preferred_writers: 1,
        };
        let member = Member::start(&batcher, app.pool.clone(), listener, config, shutdown.clone());
        eventually(DEADLINE, "the process among the live ones", async || {
            let live: i64 =
                sqlx::query_scalar("SELECT count(*) FROM journal.writer WHERE expires_at > now()")
                    .fetch_one(&app.pool)
                    .await
                    .unwrap();
            (live == count).then_some(())
        })
        .await;
        Self {
            router,
            batcher,
            member,
            wire,
            shutdown,
        }
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> Reply {
        post(&self.router, path, key, body).await
    }

    async fn finish(self) {
        self.shutdown.cancel();
        self.member.finish(self.batcher).await;
    }
}

/// One of them writes, the other one hands on: mostly the first one writes, but on a busy machine its report may be late.
struct Two {
    app: App,
    processes: [Process; 2],
}

impl Two {
    async fn new() -> Self {
        let app = App::new().await;
        let config = BatcherConfig {
            writers: 1,
            ..config()
        };
        let first = Process::start(&app, &config, 1).await;
        let second = Process::start(&app, &config, 2).await;
        let processes = [first, second];
        Self { app, processes }
    }

    fn set(&self, mode: Mode) {
        self.processes.iter().for_each(|process| process.wire.set(mode));
    }

    fn passed(&self) -> usize {
        self.processes.iter().map(|process| process.wire.passed()).sum()
    }

    /// Waits until one hands on what it is asked, and returns that one and the other one.
    async fn handing_on(&self) -> (&Process, &Process) {
        let key = Uuid::now_v7();
        let mut n = 0;
        let found = eventually(DEADLINE, "something to be handed on", async || {
            n += 1;
            let [first, second] = &self.processes;
            let (asked, other) = if n % 2 == 0 {
                (first, second)
            } else {
                (second, first)
            };
            let before = other.wire.passed();
            let reply = asked
                .post("/v1/wallets", &format!("{key}-{n}"), json!({"currency": "EUR"}))
                .await;
            assert_eq!(reply.status, 201, "{}", reply.body);
            (other.wire.passed() > before).then_some((asked, other))
        });
        found.await
    }

    async fn credits(&self, wallet: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM journal.event WHERE wallet_id = $1::uuid AND type = 'wallet.credited'",
        )
        .bind(wallet)
        .fetch_one(&self.app.pool)
        .await
        .unwrap()
    }

    /// The full check of the journal.
    async fn assert_whole(&self) {
        let report = wallex_journal::verify::verify(&self.app.pool).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }

    /// Credits a wallet through the process that hands on while the wires are in this mode, and checks that it is done
    /// once, also when they are whole again.
    async fn credit_once(&self, wallet: &str, key: &str, mode: Mode) {
        let (balance, credits) = (self.app.balance(wallet).await, self.credits(wallet).await);
        let path = format!("/v1/wallets/{wallet}/credits");
        let (asked, other) = self.handing_on().await;
        self.set(mode);
        let reply = asked.post(&path, key, json!({"amount": 5})).await;
        assert_eq!(reply.status, 201, "{mode:?}: {}", reply.body);
        assert_eq!(self.app.balance(wallet).await, balance + 5, "{mode:?}");
        self.set(Mode::Pass);
        for process in [asked, other, asked] {
            let again = process.post(&path, key, json!({"amount": 5})).await;
            assert_eq!((again.status, &again.body), (reply.status, &reply.body));
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
        self.handing_on().await;
        assert_eq!(self.app.balance(wallet).await, balance + 5, "{mode:?}");
        assert_eq!(self.credits(wallet).await, credits + 1, "{mode:?}");
    }
}

#[tokio::test]
async fn what_is_handed_on_is_answered_as_if_it_were_not() {
    let two = Two::new().await;
    let (second, first) = two.handing_on().await;
    let create = json!({"currency": "EUR", "initial_balance": 100, "owner": "Ada", "metadata": {"a": "b"}});
    let created = second.post("/v1/wallets", "a", create.clone()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let again = first.post("/v1/wallets", "a", create).await;
    assert_eq!((&again.body, again.status), (&created.body, created.status));
    let id = created.body["wallet"]["id"].as_str().unwrap();
    let other = second.post("/v1/wallets", "b", json!({"currency": "EUR"})).await;
    let other = other.body["wallet"]["id"].as_str().unwrap().to_owned();

    let before = two.passed();
    let credits = format!("/v1/wallets/{id}/credits");
    let credited = second
        .post(&credits, "c", json!({"amount": 1, "description": "one"}))
        .await;
    assert_eq!(credited.body["wallet"]["balance"], 101);
    assert!(credited.header("wallex-position").is_some() && credited.header("etag").is_some());
    let transfer = json!({"from": id, "to": other, "amount": 50, "external_id": "order-1"});
    let moved = second.post("/v1/transfers", "d", transfer.clone()).await;
    assert_eq!(moved.body["to"]["balance"], 50, "{}", moved.body);
    let hold = second
        .post(&format!("/v1/wallets/{id}/holds"), "e", json!({"amount": 20}))
        .await;
    assert_eq!(hold.status, 201, "{}", hold.body);
    let hold = hold.body["hold"]["id"].as_str().unwrap();
    let captured = second
        .post(&format!("/v1/holds/{hold}/capture"), "f", json!({}))
        .await;
    assert_eq!(captured.body["hold"]["status"], "captured", "{}", captured.body);
    let reverse = format!(
        "/v1/transactions/{}/reversals",
        moved.body["transaction_id"].as_str().unwrap()
    );
    let reversed = second.post(&reverse, "g", json!({"amount": 10})).await;
    assert_eq!(reversed.status, 201, "{}", reversed.body);
    let batch = json!({"atomic": false, "commands": [
        {"type": "credit", "wallet_id": id, "amount": 1},
        {"type": "debit", "wallet_id": other, "amount": 1_000_000},
        {"type": "credit", "wallet_id": "00000000-0000-0000-0000-000000000001", "amount": 1},
    ]});
    let batch = second.post("/v1/batches", "h", batch).await;
    assert_eq!(batch.status, 200, "{}", batch.body);

    let rejected = second
        .post(
            &format!("/v1/wallets/{id}/debits"),
            "i",
            json!({"amount": 1_000_000}),
        )
        .await;
    rejected.assert_problem(422, "insufficient_funds");
    let reused = second.post(&credits, "c", json!({"amount": 2})).await;
    reused.assert_problem(422, "idempotency_key_reused");
    let unknown = "/v1/wallets/00000000-0000-0000-0000-000000000001/credits";
    let unknown = second.post(unknown, "j", json!({"amount": 1})).await;
    unknown.assert_problem(404, "wallet_not_found");
    assert!(two.passed() > before, "they went through the wire");
    two.assert_whole().await;
}

#[tokio::test]
async fn a_request_is_written_once_whatever_happens_on_the_wire() {
    let two = Two::new().await;
    let wallet = two.app.wallet("w", 0).await;
    for (n, mode) in [Mode::HoldOutcomes, Mode::HoldRequests, Mode::Halve, Mode::Pass]
        .into_iter()
        .enumerate()
    {
        two.credit_once(&wallet, &format!("k{n}"), mode).await;
    }
    assert_eq!(two.app.balance(&wallet).await, 20);
    two.assert_whole().await;
}

#[tokio::test]
async fn nobody_is_told_that_nothing_was_stored_while_the_other_process_may_have_the_request() {
    let two = Two::new().await;
    let id = "00000000-0000-0000-0000-000000000001";
    let path = format!("/v1/wallets/{id}/credits");
    let (mut n, mut settled) = (0, "k1".to_owned());
    eventually(DEADLINE, "a request that may be in two places", async || {
        let (asked, _) = two.handing_on().await;
        two.set(Mode::HoldRequests);
        n += 1;
        settled = format!("k{n}");
        // Neither process knows the wallet; the copy on the wire may still be written once there is one.
        let doubtful = asked.post(&path, &settled, json!({"amount": 1})).await;
        two.set(Mode::Pass);
        if doubtful.status == 404 {
            // It has just become the one that writes.
            return None;
        }
        doubtful.assert_problem(503, "outcome_unknown");
        Some(())
    })
    .await;
    let (asked, _) = two.handing_on().await;
    let settled = asked.post(&path, &settled, json!({"amount": 1})).await;
    settled.assert_problem(404, "wallet_not_found");
}

#[tokio::test]
async fn a_request_that_waits_over_there_and_is_written_here_is_written_once() {
    let two = Two::new().await;
    let wallet = two.app.wallet("w", 0).await;
    let (asked, other) = two.handing_on().await;
    let before = two.passed();
    let mut locker = two.app.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM journal.partition FOR UPDATE")
        .execute(&mut *locker)
        .await
        .unwrap();
    let path = format!("/v1/wallets/{wallet}/credits");
    let credit = asked.post(&path, "k", json!({"amount": 5}));
    let unlock = async {
        // The first process has it, and the second one takes it over.
        eventually(DEADLINE, "both processes to wait for the lock", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
            .fetch_one(&two.app.pool)
            .await
            .unwrap();
            (two.passed() > before && waiting >= 2).then_some(())
        })
        .await;
        locker.rollback().await.unwrap();
    };
    let (reply, ()) = tokio::join!(credit, unlock);
    assert_eq!(reply.status, 201, "{}", reply.body);
    two.handing_on().await;
    let again = other.post(&path, "k", json!({"amount": 5})).await;
    assert_eq!(again.body, reply.body);
    assert_eq!(two.app.balance(&wallet).await, 5);
    two.assert_whole().await;
}

#[tokio::test]
async fn a_process_that_stands_still_costs_a_second_once() {
    let two = Two::new().await;
    let wallet = two.app.wallet("w", 0).await;
    let path = format!("/v1/wallets/{wallet}/credits");
    let (asked, _) = two.handing_on().await;
    two.set(Mode::HoldOutcomes);
    let started = Instant::now();
    let credit = async |n: usize| {
        let reply = asked.post(&path, &format!("k{n}"), json!({"amount": 1})).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
    };
    futures::future::join_all((0..50).map(credit)).await;
    // Avoided: a second more each would be fifty.
    for n in 50..100 {
        credit(n).await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(two.app.balance(&wallet).await, 100);
}

#[tokio::test]
async fn a_process_that_ends_properly_loses_no_request() {
    let two = Two::new().await;
    two.handing_on().await;
    let Two { app, processes } = two;
    let [first, second] = processes;
    let wallet = app.wallet("w", 0).await;
    let path = format!("/v1/wallets/{wallet}/credits");
    let load = async {
        for n in 0..300 {
            let reply = second.post(&path, &format!("k{n}"), json!({"amount": 1})).await;
            assert_eq!(reply.status, 201, "{}", reply.body);
        }
    };
    tokio::join!(load, first.finish());
    assert_eq!(app.balance(&wallet).await, 300);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.writer")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(left, 1, "the one that ended has taken itself out");
}

#[tokio::test]
async fn strangers_are_not_listened_to() {
    let two = Two::new().await;
    let token: Vec<u8> = sqlx::query_scalar("SELECT token FROM journal.writer ORDER BY since LIMIT 1")
        .fetch_one(&two.app.pool)
        .await
        .unwrap();
    let hello = |protocol: u32, token: &[u8], version: &str| {
        let mut hello = b"wallexwr".to_vec();
        hello.extend(protocol.to_be_bytes());
        hello.extend(token);
        hello.extend(version.as_bytes());
        let mut frame = u32::try_from(hello.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(hello);
        frame
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut wrong = token.clone();
    wrong[31] ^= 1;
    let answer = async |said: Vec<u8>| {
        let mut stream = TcpStream::connect(&two.processes[0].wire.address).await.unwrap();
        stream.write_all(&said).await.unwrap();
        let mut answer = vec![0; 11];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut answer)).await;
        // A reset is an end, too.
        let read = read.unwrap().unwrap_or(0);
        answer.truncate(read);
        answer
    };
    assert_eq!(answer(hello(1, &token, version)).await, b"\0\0\0\x07welcome");
    for said in [
        hello(2, &token, version),
        hello(1, &wrong, version),
        hello(1, &token, "0.0.0"),
        hello(1, &token[..31], version),
        b"GET / HTTP/1.1\r\nhost: wallex\r\n\r\n".to_vec(),
        vec![0xff; 64],
        // Half a hello: closed when the time is over.
        hello(1, &token, version)[..20].to_vec(),
    ] {
        assert_eq!(answer(said).await, b"", "closed without a word");
    }
}
