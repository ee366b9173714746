//! The process's metrics. One registry; every name starts with `wallex_`. Requesting the same metric twice returns the
//! same one, so roles that share a process (`wallex dev`) and tests need no special care.
//!
//! Labels are bounded: a partition, a role, a route, never an id or an error's text.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, GaugeVec, HistogramOpts, Opts, Registry, TextEncoder};
pub use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Seconds, from half a millisecond to ten: fits requests, batches and transactions.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Counts of things in a batch.
pub const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
static KNOWN: LazyLock<Mutex<HashMap<String, Box<dyn Any + Send>>>> = LazyLock::new(Mutex::default);

/// The registry that `/metrics` shows.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// A counter; its name ends in `_total`.
pub fn counter(name: &str, help: &str) -> IntCounter {
    registered(name, || IntCounter::new(name, help))
}

pub fn counter_vec(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(name, || IntCounterVec::new(Opts::new(name, help), labels))
}

pub fn gauge(name: &str, help: &str) -> IntGauge {
    registered(name, || IntGauge::new(name, help))
}

pub fn gauge_vec(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(name, || IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A gauge whose series are computed on request: `series` returns the values of the labels, in order, with the figure of
/// each. For figures that should disappear rather than become stale, and appear together or not at all. If two have the
/// same name, the first stays.
pub fn gauges_when_asked(
    name: &str,
    help: &str,
    labels: &[&str],
    series: impl Fn() -> Vec<(Vec<String>, f64)> + Send + Sync + 'static,
) {
    registered(name, || {
        Ok(WhenAsked {
            gauges: GaugeVec::new(Opts::new(name, help), labels)?,
            series: Arc::new(series),
            asked: Arc::default(),
        })
    });
}

#[derive(Clone)]
struct WhenAsked {
    gauges: GaugeVec,
    series: Arc<dyn Fn() -> Vec<(Vec<String>, f64)> + Send + Sync>,
    /// Two simultaneous requests would mix their series.
    asked: Arc<Mutex<()>>,
}

impl Collector for WhenAsked {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _alone = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauges.reset();
        for (labels, value) in (self.series)() {
            self.gauges.with_label_values(&labels).set(value);
        }
        self.gauges.collect()
    }
}

/// A histogram in base units (`_seconds`, `_bytes`, `_events`); buckets: [`SECONDS`], [`SIZES`] or your own.
pub fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    registered(name, || {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    })
}

pub fn histogram_vec(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    registered(name, || {
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
    })
}

/// The metric of that name, created and registered if necessary.
///
/// # Panics
/// If the name is not a valid metric name, or is already taken by a metric of another kind or with other labels: a
/// programming error that its first test finds.
fn registered<C: Collector + Clone + 'static>(name: &str, make: impl FnOnce() -> prometheus::Result<C>) -> C {
    assert!(
        name.starts_with("wallex_"),
        "metric {name} must start with wallex_"
    );
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metric) = known.get(name) {
        let metric = metric.downcast_ref::<C>();
        return metric
            .unwrap_or_else(|| panic!("metric {name} exists with another type"))
            .clone();
    }
    let metric = make().unwrap_or_else(|error| panic!("metric {name}: {error}"));
    if let Err(error) = REGISTRY.register(Box::new(metric.clone())) {
        panic!("metric {name}: {error}");
    }
    known.insert(name.to_owned(), Box::new(metric.clone()));
    metric
}

/// All metrics in Prometheus' text format, and its content type.
pub(crate) fn encode() -> (Vec<u8>, String) {
    gauge_vec(
        "wallex_build_info",
        "Version of this binary; always 1.",
        &["version"],
    )
    .with_label_values(&[env!("CARGO_PKG_VERSION")])
    .set(1);
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    if let Err(error) = encoder.encode(&REGISTRY.gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be encoded");
    }
    (text, encoder.format_type().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_gives_the_same_metric() {
        counter("wallex_test_same_total", "For a test.").inc();
        counter("wallex_test_same_total", "For a test.").inc();
        assert_eq!(counter("wallex_test_same_total", "For a test.").get(), 2);
        let text = String::from_utf8_lossy(&encode().0).into_owned();
        assert!(text.contains("wallex_test_same_total 2"), "{text}");
        assert!(text.contains("wallex_build_info{version="), "{text}");
    }

    #[test]
    fn series_made_when_asked_for_are_gone_when_there_are_none() {
        let figures = Arc::new(Mutex::new(vec![(vec!["0".to_owned()], 0.5)]));
        let given = Arc::clone(&figures);
        let series = move || given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gauges_when_asked("wallex_test_when_asked", "For a test.", &["partition"], series);
        let text = || String::from_utf8_lossy(&encode().0).into_owned();
        let shown = text();
        assert!(
            shown.contains("wallex_test_when_asked{partition=\"0\"} 0.5"),
            "{shown}"
        );
        figures.lock().unwrap_or_else(PoisonError::into_inner).clear();
        assert!(!text().contains("wallex_test_when_asked"));
    }

    #[test]
    #[should_panic(expected = "another type")]
    fn a_name_has_one_type() {
        counter("wallex_test_type_total", "For a test.");
        gauge("wallex_test_type_total", "For a test.");
    }
}
