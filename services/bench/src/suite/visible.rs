//! The time from a commit until a read shows it. A probe credits a wallet, and as soon as the answer is there, reads with the
//! answer's position from the read model and from the ledger, as a client does that wants to read its own writes. So the time
//! contains one read; it begins when the client knows of the commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wallex_runtime::http::client::{Connection, Target};
use wallex_runtime::http::headers::{IDEMPOTENCY_KEY, MIN_POSITION, POSITION};

use crate::suite::wallets::Wallets;
use crate::tally::Latency;

/// Pause between two probes: rare enough to cost nothing beside the load.
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(10);

/// Milliseconds from a write's answer to a read that contains it. A read that the platform gave up on counts with the time
/// it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Visible {
    pub(crate) probes: u64,
    pub(crate) read_model_p50_ms: f64,
    pub(crate) read_model_p99_ms: f64,
    pub(crate) ledger_p50_ms: f64,
    pub(crate) ledger_p99_ms: f64,
}

pub(crate) struct Times {
    read_model: Latency,
    ledger: Latency,
}

impl Times {
    pub(crate) fn new() -> Self {
        Self {
            read_model: Latency::new(),
            ledger: Latency::new(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.read_model.add(&other.read_model);
        self.ledger.add(&other.ledger);
    }

    /// `None` without a probe.
    pub(crate) fn summary(&self) -> Option<Visible> {
        (self.read_model.count() > 0).then(|| Visible {
            probes: self.read_model.count(),
            read_model_p50_ms: self.read_model.percentile(50.0),
            read_model_p99_ms: self.read_model.percentile(99.0),
            ledger_p50_ms: self.ledger.percentile(50.0),
            ledger_p99_ms: self.ledger.percentile(99.0),
        })
    }
}

/// Probes on the first of the wallets until `done`.
pub(crate) async fn probe(
    host: String,
    wallets: Arc<Wallets>,
    run: String,
    done: CancellationToken,
) -> anyhow::Result<Times> {
    let target = Arc::new(Target::parse(&format!("http://{host}"))?);
    let mut connection = Connection::new(target);
    let mut times = Times::new();
    let wallet = wallets.0.first().context("no wallet")?.text.clone();
    let credits = format!("/v1/wallets/{wallet}/credits");
    let reads = [
        format!("/v1/wallets/{wallet}"),
        format!("/v1/ledger/accounts/wallet:{wallet}"),
    ];
    for number in 0.. {
        if done.is_cancelled() {
            break;
        }
        // The read model and the ledger in turn: one's wait must not shorten the other's.
        let which = number % 2;
        let key = format!("{run}-probe-{number}");
        let body = Bytes::from_static(br#"{"amount":1}"#);
        let headers = [(IDEMPOTENCY_KEY, key.as_str())];
        let written = connection.send(Method::POST, &credits, &headers, body, LIMIT);
        let written = written.await.context("the probe's write")?;
        if written.status != StatusCode::CREATED {
            bail!("the probe's write got {}", written.status);
        }
        wallets.apply(&[(0, 1)]);
        let position = written
            .headers
            .get(POSITION)
            .context("a write without position")?;
        let position = position.to_str()?.to_owned();
        let begin = Instant::now();
        let headers = [(MIN_POSITION, position.as_str())];
        let read = connection.send(Method::GET, &reads[which], &headers, Bytes::new(), LIMIT);
        let read = read.await.context("the probe's read")?;
        if read.status != StatusCode::OK && read.status != StatusCode::SERVICE_UNAVAILABLE {
            bail!("the probe's read got {}", read.status);
        }
        let latency = if which == 0 {
            &mut times.read_model
        } else {
            &mut times.ledger
        };
        latency.record(begin.elapsed());
        sleep(PAUSE).await;
    }
    Ok(times)
}
