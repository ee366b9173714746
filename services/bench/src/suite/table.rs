//! The figures as tables for people.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::suite::number::thousands;
use crate::suite::report::{Cell, SuiteReport};
use crate::suite::scenario::Scenario;

/// All tables of a run.
pub(crate) fn render(report: &SuiteReport) -> String {
    let mut parts = vec![throughput(report)];
    for build in builds(report) {
        let title = |what: &str| match build {
            "" => what.to_owned(),
            build => format!("{what}, {build}"),
        };
        parts.push(format!(
            "{}\n{}",
            title("Microseconds of CPU per operation"),
            cpu(report, build)
        ));
        parts.push(format!(
            "{}\n{}",
            title("Storage and batches, per operation"),
            storage(report, build)
        ));
        if let Some(visible) = visible(report, build) {
            parts.push(format!(
                "{}\n{visible}",
                title("Milliseconds from a write's answer to a read that contains it")
            ));
        }
    }
    parts.join("\n\n")
}

fn builds(report: &SuiteReport) -> Vec<&str> {
    let mut builds: Vec<&str> = Vec::new();
    for cell in &report.cells {
        if !builds.contains(&cell.build.as_str()) {
            builds.push(&cell.build);
        }
    }
    builds
}

fn throughput(report: &SuiteReport) -> String {
    let has_builds = builds(report).len() > 1;
    let mut header = vec!["scenario", "connections"];
    if has_builds {
        header.push("build");
    }
    header.extend(["per second", "min", "max", "x TPC-B"]);
    if has_builds {
        header.push("x first");
    }
    header.extend(["p50 ms", "p99 ms", "max ms"]);
    let mut table = table(&header);
    let ratio = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    for cell in &report.cells {
        let mut row = vec![cell.scenario.to_owned(), cell.connections.to_string()];
        if has_builds {
            row.push(cell.build.clone());
        }
        row.extend([thousands(cell.median), thousands(cell.min), thousands(cell.max)]);
        row.push(ratio(cell.ratio));
        if has_builds {
            row.push(ratio(cell.to_first));
        }
        row.extend([cell.p50_ms, cell.p99_ms, cell.max_ms].map(|ms| format!("{ms:.1}")));
        table.add_row(row);
    }
    let tpcb = match report.tpcb {
        Some(tpcb) => format!(
            "pgbench TPC-B, scale {}: {} per second before, {} after.",
            tpcb.scale,
            thousands(tpcb.before),
            thousands(tpcb.after)
        ),
        None => "pgbench did not run.".to_owned(),
    };
    let machine = &report.machine;
    let legend = report.cells.iter().map(|cell| cell.scenario);
    let legend: BTreeSet<&str> = legend.collect();
    let legend = Scenario::ALL
        .iter()
        .filter(|scenario| legend.contains(scenario.as_str()))
        .map(|scenario| {
            let what = scenario.what(report.roles == "platform");
            let wallets = thousands(scenario.wallets(report.wallets) as f64);
            format!("  {:<13}{what}; wallets: {wallets}", scenario.as_str())
        });
    format!(
        "{table}\nMedian of {} windows of {} s. {tpcb}\n{} cores ({}), PostgreSQL {}, {}.\n{}",
        report.windows,
        report.seconds,
        machine.cores,
        machine.processor,
        report.postgresql,
        report.date,
        legend.collect::<Vec<_>>().join("\n")
    )
}

/// A row per component, a column per cell.
fn cpu(report: &SuiteReport, build: &str) -> String {
    let cells = of(report, build);
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut unseen: BTreeSet<&str> = BTreeSet::new();
    for cell in &cells {
        names.extend(cell.costs.cpu_us.keys().map(String::as_str));
        unseen.extend(cell.costs.unseen.iter().map(String::as_str));
    }
    // Seen in one cell and not in another: one row.
    unseen.retain(|name| !names.contains(name));
    let total = |name: &str| -> f64 { cells.iter().filter_map(|cell| cell.costs.cpu_us.get(name)).sum() };
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by(|one, other| total(other).total_cmp(&total(one)));
    let mut tables = Vec::new();
    // As many columns as fit on a screen.
    for cells in cells.chunks(8) {
        let header: Vec<String> = std::iter::once(String::new())
            .chain(cells.iter().map(|cell| title(cell)))
            .collect();
        let mut table = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
        for name in names.iter().chain(&unseen) {
            let mut row = vec![(*name).to_owned()];
            row.extend(cells.iter().map(|cell| match cell.costs.cpu_us.get(*name) {
                Some(us) => format!("{us:.1}"),
                None => "not visible".to_owned(),
            }));
            table.add_row(row);
        }
        let mut row = vec!["together".to_owned()];
        row.extend(
            cells
                .iter()
                .map(|cell| format!("{:.1}", cell.costs.cpu_us.values().sum::<f64>())),
        );
        table.add_row(row);
        tables.push(table.to_string());
    }
    tables.join("\n\n")
}

fn storage(report: &SuiteReport, build: &str) -> String {
    let mut table = table(&[
        "",
        "WAL bytes",
        "full pages",
        "fsyncs",
        "table bytes",
        "index bytes",
        "batch of",
        "ms per batch by stage",
    ]);
    for cell in of(report, build) {
        let costs = &cell.costs;
        let by_schema = |sizes: &std::collections::BTreeMap<String, f64>| {
            let sizes = sizes.iter().filter(|(_, bytes)| bytes.abs() >= 0.5);
            sizes
                .map(|(schema, bytes)| format!("{schema} {bytes:.0}"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let batch = costs.batch.iter();
        let stages = ["route", "lock", "load", "decide", "write", "commit"];
        // Those that this program does not know stand at the end.
        let rest = costs
            .stages_ms
            .keys()
            .map(String::as_str)
            .filter(|name| !stages.contains(name));
        let stages = stages
            .into_iter()
            .chain(rest)
            .filter_map(|stage| Some(format!("{stage} {:.1}", costs.stages_ms.get(stage)?)));
        table.add_row(vec![
            title(cell),
            format!("{:.0}", costs.wal_bytes),
            format!("{:.3}", costs.wal_full_pages),
            format!("{:.4}", costs.fsyncs),
            by_schema(&costs.table_bytes),
            by_schema(&costs.index_bytes),
            batch
                .map(|(what, size)| format!("{size:.1} {what}"))
                .collect::<Vec<_>>()
                .join("\n"),
            stages.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.to_string()
}

fn visible(report: &SuiteReport, build: &str) -> Option<String> {
    let mut table = table(&[
        "",
        "read model p50",
        "read model p99",
        "ledger p50",
        "ledger p99",
        "probes",
    ]);
    for cell in of(report, build) {
        let Some(visible) = &cell.visible else { continue };
        let mut row = vec![title(cell)];
        row.extend(
            [
                visible.read_model_p50_ms,
                visible.read_model_p99_ms,
                visible.ledger_p50_ms,
                visible.ledger_p99_ms,
            ]
            .map(|ms| format!("{ms:.1}")),
        );
        row.push(visible.probes.to_string());
        table.add_row(row);
    }
    (!table.is_empty()).then(|| table.to_string())
}

fn of<'a>(report: &'a SuiteReport, build: &str) -> Vec<&'a Cell> {
    report.cells.iter().filter(|cell| cell.build == build).collect()
}

fn title(cell: &Cell) -> String {
    format!("{} {}", cell.scenario, cell.connections)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::report::Tpcb;
    use crate::suite::report::tests::{cell, report};

    #[test]
    fn the_table_has_figures_ratios_and_what_was_sent() {
        let mut first = cell(Scenario::Spread, 256, &[15_000.0, 16_000.0, 14_000.0]);
        first.costs.cpu_us.insert("generator".to_owned(), 12.34);
        first.costs.unseen.push("command".to_owned());
        // A component that this cell shows and the first does not.
        let mut second = cell(Scenario::Hot, 256, &[1.0; 3]);
        second.costs.cpu_us.insert("command".to_owned(), 56.78);
        let mut report = report(vec![first, second]);
        report.relate(Tpcb {
            scale: 50,
            before: 5_000.0,
            after: 5_000.0,
        });
        let text = render(&report);
        for part in [
            "15,000",
            "14,000",
            "16,000",
            "3.00",
            "credits; wallets: 10,000",
            "12.3",
            "not visible",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("read model p50"), "{text}");
        let rows = text.lines().filter(|line| line.starts_with("│ command "));
        assert_eq!(rows.count(), 1, "{text}");
    }
}
