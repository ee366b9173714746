//! The figures of a run. The invariant: table, JSON and record come from the same [`SuiteReport`], and its keys only ever
//! grow.

use std::time::Duration;

use serde::Serialize;

use crate::suite::costs::Costs;
use crate::suite::drive::WindowTally;
use crate::suite::scenario::Scenario;
use crate::suite::visible::Visible;
use crate::tally::Latency;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SuiteReport {
    /// `platform` or `command`.
    pub(crate) roles: &'static str,
    /// Date in UTC.
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) postgresql: String,
    pub(crate) windows: usize,
    pub(crate) seconds: u64,
    /// Of the scenarios with many.
    pub(crate) wallets: usize,
    /// Settings that differ from the defaults.
    pub(crate) settings: Vec<String>,
    pub(crate) tpcb: Option<Tpcb>,
    pub(crate) cells: Vec<Cell>,
    /// Scenarios whose balances were all as predicted.
    pub(crate) verified: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
}

/// Transactions per second of pgbench.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Tpcb {
    pub(crate) scale: u32,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

impl Tpcb {
    pub(crate) fn mean(&self) -> f64 {
        f64::midpoint(self.before, self.after)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cell {
    pub(crate) scenario: &'static str,
    pub(crate) connections: u32,
    /// Which of two builds; empty if there is one.
    pub(crate) build: String,
    /// Operations per second.
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    /// The median to TPC-B.
    pub(crate) ratio: Option<f64>,
    /// The median to that of the first build: of the windows' pairs, the median ratio.
    pub(crate) to_first: Option<f64>,
    /// Of a request, over all windows.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) windows: Vec<Window>,
    pub(crate) costs: Costs,
    pub(crate) visible: Option<Visible>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Window {
    pub(crate) operations: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Window {
    pub(crate) fn new(tally: &WindowTally, length: Duration) -> Self {
        Self {
            operations: tally.operations,
            per_second: tally.operations as f64 / length.as_secs_f64(),
            p50_ms: tally.latency.percentile(50.0),
            p99_ms: tally.latency.percentile(99.0),
        }
    }
}

impl Cell {
    pub(crate) fn new(
        scenario: Scenario,
        connections: u32,
        build: &str,
        windows: Vec<Window>,
        latency: &Latency,
        costs: Costs,
        visible: Option<Visible>,
    ) -> Self {
        let rates = rates(&windows);
        Self {
            scenario: scenario.as_str(),
            connections,
            build: build.to_owned(),
            min: rates.first().copied().unwrap_or_default(),
            median: median(&rates),
            max: rates.last().copied().unwrap_or_default(),
            ratio: None,
            to_first: None,
            p50_ms: latency.percentile(50.0),
            p99_ms: latency.percentile(99.0),
            max_ms: latency.percentile(100.0),
            windows,
            costs,
            visible,
        }
    }

    /// Compares with the cell of another build that took turns with this one.
    pub(crate) fn compare(&mut self, first: &Self) {
        let pairs = self.windows.iter().zip(&first.windows);
        let mut ratios: Vec<f64> = pairs
            .filter(|(_, theirs)| theirs.per_second > 0.0)
            .map(|(mine, theirs)| mine.per_second / theirs.per_second)
            .collect();
        ratios.sort_by(f64::total_cmp);
        self.to_first = (!ratios.is_empty()).then(|| median(&ratios));
    }
}

impl SuiteReport {
    /// Fills in the ratios, once both runs of pgbench are known.
    pub(crate) fn relate(&mut self, tpcb: Tpcb) {
        for cell in &mut self.cells {
            cell.ratio = (tpcb.mean() > 0.0).then(|| cell.median / tpcb.mean());
        }
        self.tpcb = Some(tpcb);
    }
}

/// Sorted.
fn rates(windows: &[Window]) -> Vec<f64> {
    let mut rates: Vec<f64> = windows.iter().map(|window| window.per_second).collect();
    rates.sort_by(f64::total_cmp);
    rates
}

/// Of sorted values; 0 without any.
fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cell with these rates.
    pub(crate) fn cell(scenario: Scenario, connections: u32, rates: &[f64]) -> Cell {
        let windows = rates.iter().map(|rate| Window {
            operations: *rate as u64,
            per_second: *rate,
            p50_ms: 1.0,
            p99_ms: 2.0,
        });
        Cell::new(
            scenario,
            connections,
            "",
            windows.collect(),
            &Latency::new(),
            Costs::default(),
            None,
        )
    }

    pub(crate) fn report(cells: Vec<Cell>) -> SuiteReport {
        SuiteReport {
            wallets: crate::suite::scenario::MANY,
            roles: "command",
            date: "2026-01-31".to_owned(),
            machine: Machine {
                cores: 2,
                processor: "a processor".to_owned(),
            },
            postgresql: "15.1".to_owned(),
            windows: 3,
            seconds: 5,
            settings: Vec::new(),
            tpcb: None,
            cells,
            verified: Vec::new(),
        }
    }

    #[test]
    fn a_cell_is_the_median_of_its_windows() {
        let odd = cell(Scenario::Spread, 16, &[30.0, 10.0, 20.0]);
        assert_eq!((odd.min, odd.median, odd.max), (10.0, 20.0, 30.0));
        assert_eq!(cell(Scenario::Spread, 16, &[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(cell(Scenario::Spread, 16, &[]).median, 0.0);
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut latency = Latency::new();
        for micros in 1..=1_000 {
            latency.record(Duration::from_micros(micros));
        }
        let tally = WindowTally {
            operations: 1_000,
            latency,
        };
        let window = Window::new(&tally, Duration::from_secs(2));
        assert_eq!(
            (window.per_second, window.p50_ms, window.p99_ms),
            (500.0, 0.5, 0.99)
        );
    }

    #[test]
    fn ratios_are_to_the_mean_of_both_runs_of_pgbench() {
        let mut report = report(vec![cell(Scenario::Hot, 64, &[15_000.0; 3])]);
        report.relate(Tpcb {
            scale: 50,
            before: 4_000.0,
            after: 6_000.0,
        });
        assert_eq!(report.cells[0].ratio, Some(3.0));
    }

    #[test]
    fn builds_are_compared_pair_by_pair() {
        // The machine became slower from pair to pair: the ratio of the medians would be 1.
        let first = cell(Scenario::Hot, 64, &[100.0, 50.0, 20.0]);
        let mut second = cell(Scenario::Hot, 64, &[120.0, 50.0, 24.0]);
        second.compare(&first);
        assert_eq!(second.to_first, Some(1.2));
    }
}
