//! The recorded ratios that later runs are compared with: a small file in the repository, and the source of the diagram. The
//! invariant: only ratios to TPC-B are compared, never rates, so another machine may take part.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::suite::processes::{GENERATOR, REST};
use crate::suite::report::SuiteReport;

/// A ratio that has fallen below this part of the recorded one is worth a warning.
const FALLEN: f64 = 0.8;

/// By roles: `command` and `platform`.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Records(pub(crate) BTreeMap<String, Record>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) postgresql: String,
    /// How long it was measured, and with which settings.
    pub(crate) method: String,
    /// Transactions per second.
    pub(crate) tpcb: f64,
    pub(crate) tpcb_scale: u32,
    /// Scenario -> connections -> figures.
    pub(crate) figures: BTreeMap<String, BTreeMap<u32, Figure>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) per_second: f64,
    pub(crate) ratio: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Microseconds per operation of the platform's components: neither the generator nor what else ran on the machine.
    pub(crate) cpu_us: f64,
}

impl Records {
    /// Empty if there is no such file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(file);
        text.map_err(anyhow::Error::from)
            .and_then(|text| Ok(serde_json::from_str(&text)?))
            .with_context(|| format!("{} cannot be read", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Puts a run in place of the earlier one of its roles. Combinations that it did not measure go: figures of one record
    /// are of one machine and one program.
    pub(crate) fn put(&mut self, report: &SuiteReport) -> anyhow::Result<()> {
        let record = Record::of(report).context("only a run with pgbench can be recorded")?;
        self.0.insert(report.roles.to_owned(), record);
        Ok(())
    }

    /// What has fallen, a line each.
    pub(crate) fn fallen(&self, report: &SuiteReport) -> Vec<String> {
        let Some(record) = self.0.get(report.roles) else {
            return Vec::new();
        };
        if report.tpcb.is_some_and(|tpcb| tpcb.scale != record.tpcb_scale) {
            return vec![format!(
                "pgbench's scale differs from the recorded {}: ratios cannot be compared",
                record.tpcb_scale
            )];
        }
        let cells = report.cells.iter().filter(|cell| is_first(report, &cell.build));
        cells
            .filter_map(|cell| {
                let figure = record.figures.get(cell.scenario)?.get(&cell.connections)?;
                let ratio = cell.ratio?;
                (ratio < FALLEN * figure.ratio).then(|| {
                    format!(
                        "{} with {} connections: {ratio:.2} x TPC-B, {:.0} % below the {:.2} of {}",
                        cell.scenario,
                        cell.connections,
                        100.0 * (1.0 - ratio / figure.ratio),
                        figure.ratio,
                        record.date
                    )
                })
            })
            .collect()
    }
}

impl Record {
    fn of(report: &SuiteReport) -> Option<Self> {
        let tpcb = report.tpcb?;
        let mut figures: BTreeMap<String, BTreeMap<u32, Figure>> = BTreeMap::new();
        let cells = report.cells.iter().filter(|cell| is_first(report, &cell.build));
        for cell in cells {
            let cpu = cell.costs.cpu_us.iter();
            let cpu_us = cpu
                .filter(|(name, _)| ![GENERATOR, REST].contains(&name.as_str()))
                .map(|(_, us)| us)
                .sum();
            let figure = Figure {
                per_second: cell.median.round(),
                ratio: rounded(cell.ratio?),
                p50_ms: rounded(cell.p50_ms),
                p99_ms: rounded(cell.p99_ms),
                cpu_us: rounded(cpu_us),
            };
            let scenario = figures.entry(cell.scenario.to_owned()).or_default();
            scenario.insert(cell.connections, figure);
        }
        let mut method = format!("median of {} windows of {} s", report.windows, report.seconds);
        for setting in &report.settings {
            method += &format!(", {setting}");
        }
        Some(Self {
            date: report.date.clone(),
            machine: format!("{} cores, {}", report.machine.cores, report.machine.processor),
            postgresql: report.postgresql.clone(),
            method,
            tpcb: tpcb.mean().round(),
            tpcb_scale: tpcb.scale,
            figures,
        })
    }
}

/// Of two builds, the first is the one that is recorded.
fn is_first(report: &SuiteReport, build: &str) -> bool {
    report.cells.first().is_some_and(|first| first.build == build)
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::suite::report::Tpcb;
    use crate::suite::report::tests::{cell, report};
    use crate::suite::scenario::Scenario;

    /// A run that reached so many operations a second, with TPC-B at 5,000.
    fn run(spread: f64, hot: f64) -> SuiteReport {
        let mut report = report(vec![
            cell(Scenario::Spread, 256, &[spread; 3]),
            cell(Scenario::Hot, 256, &[hot; 3]),
        ]);
        let tpcb = Tpcb {
            scale: 50,
            before: 5_000.0,
            after: 5_000.0,
        };
        report.relate(tpcb);
        report
    }

    #[test]
    fn a_ratio_that_fell_by_more_than_a_fifth_is_named() {
        let mut records = Records::default();
        records.put(&run(15_000.0, 20_000.0)).unwrap();
        assert_eq!(records.fallen(&run(12_100.0, 30_000.0)), Vec::<String>::new());
        let fallen = records.fallen(&run(11_900.0, 20_000.0));
        assert_eq!(
            fallen,
            ["spread with 256 connections: 2.38 x TPC-B, 21 % below the 3.00 of 2026-01-31"]
        );
    }

    #[test]
    fn what_was_not_measured_cannot_fall() {
        let mut records = Records::default();
        assert!(records.fallen(&run(1.0, 1.0)).is_empty());
        records.put(&run(15_000.0, 20_000.0)).unwrap();
        let mut other = run(1.0, 1.0);
        other.roles = "platform";
        assert!(records.fallen(&other).is_empty());
        let mut other = run(1.0, 1.0);
        other.cells.iter_mut().for_each(|cell| cell.connections = 16);
        assert!(records.fallen(&other).is_empty());
    }

    #[test]
    fn ratios_to_another_pgbench_are_not_compared() {
        let mut records = Records::default();
        records.put(&run(15_000.0, 20_000.0)).unwrap();
        let mut other = run(1.0, 1.0);
        other.tpcb.as_mut().unwrap().scale = 1;
        assert!(records.fallen(&other)[0].contains("scale"));
        let without = report(vec![cell(Scenario::Spread, 256, &[1.0; 3])]);
        assert!(records.put(&without).is_err());
    }

    #[test]
    fn a_record_replaces_that_of_its_roles_only() {
        let mut records = Records::default();
        records.put(&run(15_000.0, 20_000.0)).unwrap();
        let mut platform = run(5_000.0, 5_000.0);
        platform.roles = "platform";
        records.put(&platform).unwrap();
        platform.cells.truncate(1);
        records.put(&platform).unwrap();
        assert_eq!(records.0["command"].figures.len(), 2);
        assert_eq!(records.0["platform"].figures.len(), 1);
        let text = serde_json::to_string(&records).unwrap();
        assert_eq!(serde_json::from_str::<Records>(&text).unwrap(), records);
    }
}
