//! Runs the plan: workers with one connection each take the next step, send it, and resend it under the same key until
//! there is a final answer. The invariant: a wallet's expected balance changes only by operations whose predicted
//! answer was received.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wallex_domain::Positions;

use crate::plan::{Operation, Plan};
use crate::prediction::{self, Call, Prediction, Surprise};
use crate::progress::Progress;
use crate::tally::Tally;
use wallex_runtime::http::client::{Answer, Connection, Target};
use wallex_runtime::http::headers::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED, POSITION};

/// Timeout of one try; it also detects a server that disappeared without closing the connection.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Pause between tries: doubled each time, with jitter, so that the workers do not retry in lockstep.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How long to wait for requests in flight once the run is interrupted.
const GRACE: Duration = Duration::from_secs(1);

/// What the generator knows about the wallets, by their number in the plan.
pub(crate) struct Wallets {
    /// Set when the wallet has been created.
    ids: Vec<OnceLock<Uuid>>,
    expected: Vec<AtomicI64>,
}

impl Wallets {
    fn new(plan: &Plan) -> Self {
        Self {
            ids: plan.initial.iter().map(|_| OnceLock::new()).collect(),
            expected: plan.initial.iter().copied().map(AtomicI64::new).collect(),
        }
    }

    /// Nil for a wallet that was not created.
    fn id(&self, wallet: u32) -> Uuid {
        self.ids[wallet as usize].get().copied().unwrap_or_default()
    }

    /// Ids with their currently expected balances, in minor units.
    pub(crate) fn expected(&self) -> Vec<(Uuid, i64)> {
        let balances = self
            .expected
            .iter()
            .map(|balance| balance.load(Ordering::Relaxed));
        (0..).map(|wallet| self.id(wallet)).zip(balances).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Wallets,
    Operations,
}

/// One run of the generator.
pub(crate) struct Load {
    pub(crate) target: Arc<Target>,
    pub(crate) plan: Plan,
    pub(crate) wallets: Wallets,
    currency: String,
    /// Prefix of every key, fresh per run: a repeated seed must not be answered with replays.
    run: Uuid,
    timeout: Duration,
    stop: CancellationToken,
    /// Cancelled when no more operations should start.
    enough: CancellationToken,
    /// Between the starts of two operations, across all workers.
    interval: Duration,
    /// Cancelled when a wallet cannot be created: the others would not be used.
    hopeless: CancellationToken,
}

enum Outcome {
    Predicted(Uuid),
    Surprise(Surprise),
    /// Interrupted: the outcome is unknown.
    Abandoned,
}

impl Load {
    pub(crate) fn new(
        target: Arc<Target>,
        plan: Plan,
        currency: String,
        timeout: Duration,
        rate: Option<u32>,
        stop: CancellationToken,
        enough: CancellationToken,
    ) -> Self {
        Self {
            target,
            wallets: Wallets::new(&plan),
            plan,
            currency,
            run: Uuid::now_v7(),
            timeout,
            stop,
            enough,
            interval: rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate),
            hopeless: CancellationToken::new(),
        }
    }

    pub(crate) fn steps(&self, phase: Phase) -> usize {
        match phase {
            Phase::Wallets => self.plan.initial.len(),
            Phase::Operations => self.plan.operations.len(),
        }
    }

    /// Runs all steps of a phase with `workers` connections, or as many as possible before an interruption.
    pub(crate) async fn run(
        self: &Arc<Self>,
        phase: Phase,
        workers: usize,
        progress: &Arc<Progress>,
    ) -> (Tally, Duration) {
        let next = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        let workers: Vec<_> = (0..workers.min(self.steps(phase)))
            .map(|_| {
                let (load, next, progress) = (Arc::clone(self), Arc::clone(&next), Arc::clone(progress));
                tokio::spawn(async move { load.work(phase, begin, &next, &progress).await })
            })
            .collect();
        let mut tally = Tally::new();
        for worker in workers {
            match worker.await {
                Ok(one) => tally.add(one),
                Err(error) => {
                    let detail = error.to_string();
                    tally.record_failure(
                        None,
                        Surprise {
                            code: "worker_died".to_owned(),
                            detail,
                        },
                    );
                }
            }
        }
        (tally, begin.elapsed())
    }

    async fn work(&self, phase: Phase, begin: Instant, next: &AtomicUsize, progress: &Progress) -> Tally {
        let mut connection = Connection::new(Arc::clone(&self.target));
        let mut tally = Tally::new();
        while !self.stop.is_cancelled() && !self.hopeless.is_cancelled() {
            let step = next.fetch_add(1, Ordering::Relaxed);
            if step >= self.steps(phase) {
                break;
            }
            match phase {
                Phase::Wallets => self.create(step, &mut connection, &mut tally).await,
                Phase::Operations => {
                    if !self.is_due(begin, step).await {
                        break;
                    }
                    self.operate(step, &mut connection, &mut tally).await;
                }
            }
            progress.advance();
        }
        tally
    }

    /// Waits until the operation is due. False: no more operations should start.
    async fn is_due(&self, begin: Instant, step: usize) -> bool {
        let due = begin + self.interval * u32::try_from(step).unwrap_or(u32::MAX);
        let over = async {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.enough.cancelled() => {}
            }
        };
        tokio::select! {
            biased;
            () = over => false,
            () = sleep_until(due) => true,
        }
    }

    async fn create(&self, wallet: usize, connection: &mut Connection, tally: &mut Tally) {
        let (call, prediction) = prediction::create(&self.currency, self.plan.initial[wallet]);
        let key = format!("bench-{}-w{wallet}", self.run.simple());
        match self.submit(connection, &key, call, &prediction, tally).await {
            Outcome::Predicted(id) => {
                // Only the worker that took this step sets the id.
                let _ = self.wallets.ids[wallet].set(id);
            }
            Outcome::Surprise(surprise) => {
                tally.record_failure(None, surprise);
                self.hopeless.cancel();
            }
            Outcome::Abandoned => tally.abandoned += 1,
        }
    }

    async fn operate(&self, step: usize, connection: &mut Connection, tally: &mut Tally) {
        let operation: Operation = self.plan.operations[step];
        let (call, prediction) = prediction::operation(operation, |wallet| self.wallets.id(wallet));
        let key = format!("bench-{}-o{step}", self.run.simple());
        let begin = Instant::now();
        match self.submit(connection, &key, call, &prediction, tally).await {
            Outcome::Predicted(_) => {
                tally.record_ok(operation.kind(), operation.amount(), begin.elapsed());
                for (wallet, change) in operation.changes().into_iter().flatten() {
                    self.wallets.expected[wallet as usize].fetch_add(change, Ordering::Relaxed);
                }
            }
            Outcome::Surprise(surprise) => tally.record_failure(Some(operation.kind()), surprise),
            Outcome::Abandoned => tally.abandoned += 1,
        }
    }

    async fn submit(
        &self,
        connection: &mut Connection,
        key: &str,
        call: Call,
        prediction: &Prediction,
        tally: &mut Tally,
    ) -> Outcome {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = FIRST_BACKOFF;
        loop {
            let limit = ATTEMPT.min(deadline.saturating_duration_since(Instant::now()));
            let headers = [(IDEMPOTENCY_KEY, key)];
            let attempt = connection.send(Method::POST, &call.path, &headers, call.body.clone(), limit);
            let result = tokio::select! {
                result = attempt => result,
                () = self.grace_is_over() => return Outcome::Abandoned,
            };
            let trouble = match result {
                Ok(answer) if !passes(answer.status) => {
                    record_headers(&answer, tally);
                    return match prediction.compare(&answer) {
                        Ok(wallet) => Outcome::Predicted(wallet),
                        Err(surprise) => Outcome::Surprise(surprise),
                    };
                }
                Ok(answer) => {
                    tally.http_5xx += u64::from(answer.status.is_server_error());
                    prediction::surprise(&answer)
                }
                Err(error) => Surprise {
                    code: "no_answer".to_owned(),
                    detail: error.to_string(),
                },
            };
            if self.stop.is_cancelled() {
                return Outcome::Abandoned;
            }
            let pause = backoff.mul_f64(rand::random_range(0.5..1.0));
            if Instant::now() + pause >= deadline {
                let detail = format!(
                    "given up after {:?}, outcome unknown: {}",
                    self.timeout, trouble.detail
                );
                return Outcome::Surprise(Surprise { detail, ..trouble });
            }
            tally.retries += 1;
            sleep(pause).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn grace_is_over(&self) {
        self.stop.cancelled().await;
        sleep(GRACE).await;
    }
}

/// Whether a retry under the same key may get another answer.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn record_headers(answer: &Answer, tally: &mut Tally) {
    tally.replayed += u64::from(
        answer
            .headers
            .get(IDEMPOTENCY_REPLAYED)
            .is_some_and(|value| value == "true"),
    );
    let positions = answer.headers.get(POSITION).and_then(|value| value.to_str().ok());
    for position in positions
        .and_then(|text| text.parse::<Positions>().ok())
        .unwrap_or_default()
        .0
    {
        tally.record_position(position.partition.0, position.seq);
    }
}
