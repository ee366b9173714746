//! The operator's own metrics. Labels are bounded: an outcome, never a name or a message.

use std::time::Duration;

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// How one reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for is there.
    Settled,
    /// Waiting for something: a Secret, a Job, a rollout, Kafka.
    Waiting,
    /// It failed and will be tried again.
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

/// All metrics and the registry that holds them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    leader: IntGauge,
}

impl Metrics {
    /// A registry of its own.
    ///
    /// # Errors
    /// Never in practice: only if two metrics had one name.
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
                "Duration of a reconcile. Above a second mostly means that Kafka or the API server answers slowly.",
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
        })
    }

    /// Counts one reconcile.
    pub fn reconciled(&self, outcome: Outcome, took: Duration) {
        self.reconciles.with_label_values(&[outcome.label()]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Says whether this process holds the lease.
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
