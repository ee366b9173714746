//! The operator's own metrics. Labels are bounded: an outcome or a kind, never a name or message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// How one reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything requested is in place.
    Settled,
    /// Waiting for something: a Secret, a Job, a rollout, Kafka.
    Waiting,
    /// It failed and will be retried.
    Failed,
    /// The object can't be read by this version of the operator.
    Invalid,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
        }
    }
}

/// What the metrics count about a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// It is ready.
    pub ready: bool,
    /// Why it is degraded, if it is: a reason from its conditions, which form a closed set.
    pub degraded: Option<String>,
}

type Look = Box<dyn Fn() -> Vec<Seen> + Send + Sync>;

/// Platforms by readiness and by degradation reason. Counted from the watches' stores on each scrape, so platforms that are gone
/// are not counted.
#[derive(Clone)]
struct Platforms {
    watched: Arc<Mutex<Vec<Look>>>,
    ready: IntGaugeVec,
    degraded: IntGaugeVec,
}

impl Platforms {
    fn new() -> Result<Self, prometheus::Error> {
        let ready = IntGaugeVec::new(
            Opts::new(
                "wallex_operator_platforms",
                "Platforms by whether they are ready, in the process that leads. When `ready=\"false\"` stays, `kubectl get wp -A` says why.",
            ),
            &["ready"],
        )?;
        let degraded = IntGaugeVec::new(
            Opts::new(
                "wallex_operator_degraded_platforms",
                "Platforms with a failure, by reason, in the process that leads. None: no series. docs/operator-conditions.md \
                 explains each reason, `kubectl get wp -A` names the platforms.",
            ),
            &["reason"],
        )?;
        let watched = Arc::default();
        Ok(Self {
            watched,
            ready,
            degraded,
        })
    }

    fn watch(&self, ready: Look) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(ready);
    }
}

impl Collector for Platforms {
    fn desc(&self) -> Vec<&Desc> {
        let mut described = self.ready.desc();
        described.extend(self.degraded.desc());
        described
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.is_empty() {
            return Vec::new();
        }
        let platforms: Vec<Seen> = watched.iter().flat_map(|look| look()).collect();
        for ready in [true, false] {
            let count = platforms.iter().filter(|seen| seen.ready == ready).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let label = if ready { "true" } else { "false" };
            self.ready.with_label_values(&[label]).set(count);
        }
        // Removes reasons that no platform has any more.
        self.degraded.reset();
        for reason in platforms.iter().filter_map(|seen| seen.degraded.as_deref()) {
            self.degraded.with_label_values(&[reason]).inc();
        }
        let mut collected = self.ready.collect();
        collected.extend(self.degraded.collect());
        collected
    }
}

/// All metrics and the registry that holds them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    leader: IntGauge,
    writes: IntCounterVec,
    platforms: Platforms,
}

impl Metrics {
    /// Creates the metrics with their own registry.
    ///
    /// # Errors
    /// Never in practice: only if two metrics had the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let reconciles = IntCounterVec::new(
            Opts::new(
                "wallex_operator_reconciles_total",
                "Reconciles by outcome. When `failed` grows, read the operator's log and the conditions of the platforms.",
            ),
            &["outcome"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "wallex_operator_reconcile_duration_seconds",
                "Duration of a reconcile. Above a second usually means that Kafka or the API server answers slowly.",
            )
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        )?;
        let leader = IntGauge::new(
            "wallex_operator_leader",
            "1 in the process that holds the lease, otherwise 0. When the sum stays 0, nothing is reconciled.",
        )?;
        let build = IntGaugeVec::new(
            Opts::new("wallex_operator_build_info", "1, labelled with the version."),
            &["version"],
        )?;
        let writes = IntCounterVec::new(
            Opts::new(
                "wallex_operator_api_writes_total",
                "Writes sent to the API server, except for the Lease, by kind and outcome (ok, failed). While platforms do not change, only \
                 `WalletPlatform/status` grows, at most once in 30 s each. Another kind that grows steadily is fought over by somebody \
                 else: see the log's lines `applying`. When `failed` grows, see the conditions of the platforms.",
            ),
            &["kind", "outcome"],
        )?;
        let platforms = Platforms::new()?;
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(platforms.clone()))?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for outcome in [
            Outcome::Settled,
            Outcome::Waiting,
            Outcome::Failed,
            Outcome::Invalid,
        ] {
            reconciles.with_label_values(&[outcome.label()]);
        }
        Ok(Self {
            registry,
            reconciles,
            duration,
            leader,
            writes,
            platforms,
        })
    }

    /// Counts one write to the API server.
    pub fn wrote(&self, kind: &str, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.writes.with_label_values(&[kind, outcome]).inc();
    }

    /// Adds platforms to count on each scrape; `look` returns the state of each.
    pub fn watch_platforms(&self, look: impl Fn() -> Vec<Seen> + Send + Sync + 'static) {
        self.platforms.watch(Box::new(look));
    }

    /// Counts one reconcile.
    pub fn reconciled(&self, outcome: Outcome, took: Duration) {
        self.reconciles.with_label_values(&[outcome.label()]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Records whether this process holds the lease.
    pub fn leading(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// The text exposition format.
    ///
    /// # Errors
    /// When a metric can't be encoded.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn platforms_are_counted_when_somebody_reads_and_by_the_leader_alone() {
        let metrics = Metrics::new().unwrap();
        let text = || String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(!text().contains("wallex_operator_platforms{"), "{}", text());
        let seen = |ready: bool, degraded: Option<&str>| Seen {
            ready,
            degraded: degraded.map(str::to_owned),
        };
        let failed = seen(false, Some("MigrationFailed"));
        let first = Arc::new(Mutex::new(vec![seen(true, None), failed, seen(true, None)]));
        let watched = first.clone();
        metrics.watch_platforms(move || watched.lock().unwrap().clone());
        metrics.watch_platforms(move || vec![seen(false, None)]);
        let shown = |ready: &str, count: u8| {
            let line = format!("wallex_operator_platforms{{ready=\"{ready}\"}} {count}\n");
            assert!(text().contains(&line), "{line} {}", text());
        };
        shown("true", 2);
        shown("false", 2);
        let degraded = "wallex_operator_degraded_platforms{reason=\"MigrationFailed\"} 1\n";
        assert!(text().contains(degraded), "{}", text());
        first.lock().unwrap().clear();
        assert!(
            !text().contains("wallex_operator_degraded_platforms{"),
            "{}",
            text()
        );
        shown("true", 0);
        shown("false", 1);
    }

    #[test]
    fn every_outcome_is_shown_from_the_start() {
        let text = String::from_utf8(Metrics::new().unwrap().render().unwrap()).unwrap();
        for outcome in ["settled", "waiting", "failed", "invalid"] {
            assert!(
                text.contains(&format!(
                    "wallex_operator_reconciles_total{{outcome=\"{outcome}\"}} 0"
                )),
                "{text}"
            );
        }
        assert!(text.contains("wallex_operator_leader 0"));
    }
}
