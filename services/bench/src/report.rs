//! The result of a run, as a table for people and as JSON for programs. The invariant: both come from the
//! same [`Report`], and its keys only ever grow.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::lag::MaxLag;
use crate::mix::Kind;
use crate::tally::Tally;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KindReport {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Latencies run from the first try of an operation to its final answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) request: Request,
    /// Operations that got the predicted answer.
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) retries: u64,
    pub(crate) replayed: u64,
    pub(crate) http_5xx: u64,
    pub(crate) duration_s: f64,
    pub(crate) ops_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) kinds: BTreeMap<&'static str, KindReport>,
    /// None without a database.
    pub(crate) max_lag_events: Option<i64>,
    pub(crate) max_lag_ms: Option<u64>,
    /// None if the projections did not catch up, or were not waited for.
    pub(crate) drained_ms: Option<u64>,
    /// `database`, `api`, or `none` if the run was interrupted.
    pub(crate) verified_by: &'static str,
    pub(crate) verified: bool,
    pub(crate) differences: usize,
    /// Failures by problem code.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) interrupted: bool,
}

/// The parameters of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Request {
    pub(crate) wallets: u32,
    pub(crate) operations: u32,
    pub(crate) workers: u32,
    pub(crate) seed: u64,
    pub(crate) mix: String,
    pub(crate) hot: bool,
}

impl Report {
    /// The report of a run that has not been verified.
    pub(crate) fn of(request: Request, tally: &Tally, duration: Duration, lag: Option<MaxLag>) -> Self {
        let latency = tally.latency();
        let seconds = duration.as_secs_f64();
        let kinds = Kind::ALL.map(|kind| {
            let figures = tally.kind(kind);
            let (p50_ms, p99_ms) = (figures.latency.percentile(50.0), figures.latency.percentile(99.0));
            (
                kind.as_str(),
                KindReport {
                    ok: figures.ok,
                    failed: figures.failed,
                    p50_ms,
                    p99_ms,
                },
            )
        });
        Self {
            request,
            ok: tally.ok(),
            failed: tally.failed(),
            retries: tally.retries,
            replayed: tally.replayed,
            http_5xx: tally.http_5xx,
            duration_s: rounded(seconds),
            ops_per_second: rounded(if seconds > 0.0 {
                tally.ok() as f64 / seconds
            } else {
                0.0
            }),
            p50_ms: latency.percentile(50.0),
            p99_ms: latency.percentile(99.0),
            p999_ms: latency.percentile(99.9),
            max_ms: latency.percentile(100.0),
            kinds: kinds.into_iter().collect(),
            max_lag_events: lag.map(|lag| lag.events),
            max_lag_ms: lag.map(|lag| milliseconds(lag.time)),
            drained_ms: None,
            verified_by: "none",
            verified: false,
            differences: 0,
            failures: tally
                .failures
                .iter()
                .map(|(code, failure)| (code.clone(), failure.count))
                .collect(),
            interrupted: false,
        }
    }

    /// Whether the run succeeded.
    pub(crate) fn is_success(&self) -> bool {
        // A dead worker appears only among the failures.
        let all_ok = self.failures.is_empty() && self.ok == u64::from(self.request.operations);
        self.verified && self.failed == 0 && all_ok && !self.interrupted
    }

    pub(crate) fn table(&self) -> String {
        let request = &self.request;
        let mut kinds = Table::new();
        kinds
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Disabled);
        kinds.set_header(["", "ok", "failed", "p50 ms", "p99 ms"]);
        for (name, kind) in &self.kinds {
            kinds.add_row([
                (*name).to_owned(),
                kind.ok.to_string(),
                kind.failed.to_string(),
                format!("{:.2}", kind.p50_ms),
                format!("{:.2}", kind.p99_ms),
            ]);
        }
        kinds.add_row([
            "all".to_owned(),
            self.ok.to_string(),
            self.failed.to_string(),
            format!("{:.2}", self.p50_ms),
            format!("{:.2}", self.p99_ms),
        ]);

        let known = |figure: Option<String>| figure.unwrap_or_else(|| "unknown".to_owned());
        let mut run = Table::new();
        run.load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Disabled);
        run.add_row(["operations per second", &format!("{:.0}", self.ops_per_second)]);
        run.add_row(["duration", &format!("{:.2} s", self.duration_s)]);
        run.add_row([
            "wallets / operations / workers",
            &format!(
                "{} / {} / {}",
                request.wallets, request.operations, request.workers
            ),
        ]);
        run.add_row(["seed", &request.seed.to_string()]);
        run.add_row([
            "retries / replayed / 5xx",
            &format!("{} / {} / {}", self.retries, self.replayed, self.http_5xx),
        ]);
        run.add_row([
            "largest lag",
            &known(
                self.max_lag_events
                    .zip(self.max_lag_ms)
                    .map(|(events, ms)| format!("{events} events, {ms} ms")),
            ),
        ]);
        run.add_row([
            "projections caught up after",
            &known(self.drained_ms.map(|ms| format!("{ms} ms"))),
        ]);
        run.add_row(["verified", &self.verdict()]);

        for table in [&mut kinds, &mut run] {
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{kinds}\n{run}")
    }

    fn verdict(&self) -> String {
        match (self.interrupted, self.verified) {
            (true, _) => "no, interrupted".to_owned(),
            (false, true) => format!("yes, by {}", self.verified_by),
            (false, false) => format!("NO, differences: {}", self.differences),
        }
    }
}

/// Writes the figures of a run to the file of `--json`.
pub(crate) fn write_json(file: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(file, json).with_context(|| format!("cannot write --json {}", file.display()))
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// To three decimal places.
fn rounded(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::prediction::Surprise;

    fn report() -> Report {
        let mut tally = Tally::new();
        tally.record_ok(Kind::Credits, 5, Duration::from_millis(2));
        tally.record_ok(Kind::Transfers, 5, Duration::from_millis(4));
        let surprise = Surprise {
            code: "insufficient_funds".to_owned(),
            detail: "no".to_owned(),
        };
        tally.record_failure(Some(Kind::Debits), surprise);
        let mix = "credits=1,debits=1,transfers=1".to_owned();
        let request = Request {
            wallets: 2,
            operations: 3,
            workers: 1,
            seed: 7,
            mix,
            hot: false,
        };
        let lag = MaxLag {
            events: 12,
            time: Duration::from_millis(150),
            missed_samples: 0,
        };
        Report::of(request, &tally, Duration::from_millis(500), Some(lag))
    }

    #[test]
    fn the_json_has_the_keys_that_programs_read() {
        let json = serde_json::to_value(report()).unwrap();
        for key in [
            "operations",
            "ok",
            "failed",
            "retries",
            "replayed",
            "http_5xx",
            "ops_per_second",
            "p50_ms",
            "p99_ms",
            "max_lag_events",
            "drained_ms",
            "verified",
            "wallets",
            "workers",
            "seed",
            "duration_s",
            "kinds",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["ok"], 2);
        assert_eq!(json["ops_per_second"], 4.0);
        assert_eq!(json["kinds"]["debits"]["failed"], 1);
        assert_eq!(json["failures"]["insufficient_funds"], 1);
        assert_eq!(json["max_lag_events"], 12);
    }

    #[test]
    fn the_table_shows_the_verdict() {
        let mut report = report();
        report.differences = 3;
        assert!(
            report.table().contains("NO, differences: 3"),
            "{}",
            report.table()
        );
        report.verified = true;
        report.verified_by = "database";
        assert!(report.table().contains("yes, by database"), "{}", report.table());
        assert!(report.table().contains("12 events, 150 ms"), "{}", report.table());
    }

    #[test]
    fn success_is_every_operation_ok_and_verified() {
        let mut report = report();
        report.verified = true;
        assert!(!report.is_success(), "one failed");
        report.failed = 0;
        assert!(!report.is_success(), "one is missing");
        report.ok = 3;
        assert!(!report.is_success(), "a worker died");
        report.failures.clear();
        assert!(report.is_success());
    }
}
