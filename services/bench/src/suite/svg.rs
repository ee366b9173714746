//! The recorded ratios as a diagram: a group of bars per scenario, a bar per number of connections, TPC-B as a line at 1.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::suite::number::thousands;
use crate::suite::record::{Record, Records};
use crate::suite::scenario::Scenario;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 110.0;
const BAR: f64 = 13.0;
const GAP: f64 = 12.0;
/// Room for the figures right of the longest bar.
const RIGHT: f64 = 120.0;
/// From light to dark with the number of connections; each can be told from a white and from a black page.
const COLOURS: [&str; 4] = ["#7fb2e5", "#4a90d9", "#2f6fb5", "#8a63d2"];

pub(crate) fn draw(records: &Records) -> String {
    let mut body = String::new();
    let mut top = 8.0;
    for (roles, record) in &records.0 {
        top = panel(&mut body, roles, record, top);
    }
    // The text takes the colour of the reader's theme.
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#24292f}}.grid{{stroke:#d0d7de}}.line{{stroke:#cf222e}}\
         @media (prefers-color-scheme:dark){{text{{fill:#e6edf3}}.grid{{stroke:#3d444d}}.line{{stroke:#ff7b72}}}}</style>\n\
         <title>Operations per second as ratios to pgbench's TPC-B</title>\n{body}</svg>\n"
    )
}

/// Draws one record from `top` on; returns where it ends.
fn panel(svg: &mut String, roles: &str, record: &Record, top: f64) -> f64 {
    let connections: BTreeSet<u32> = record
        .figures
        .values()
        .flat_map(|by| by.keys().copied())
        .collect();
    let colour = |number: u32| {
        let place = connections
            .iter()
            .position(|other| *other == number)
            .unwrap_or_default();
        COLOURS[place % COLOURS.len()]
    };
    let most = record.figures.values().flat_map(|by| by.values());
    let most = most.map(|figure| figure.ratio).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let what = match roles {
        "command" => "The command role alone",
        _ => "The whole platform",
    };
    let mut y = top + 14.0;
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"{y}\" font-weight=\"bold\" font-size=\"14\">{what}</text>"
    );
    y += 16.0;
    let _ = writeln!(
        svg,
        "<text x=\"8\" y=\"{y}\">1 is pgbench's TPC-B: {} per second. {}, {}</text>",
        thousands(record.tpcb),
        escaped(&record.machine),
        escaped(&record.date)
    );
    y += 18.0;
    let mut x = LEFT;
    for number in &connections {
        let label = match number {
            1 => "1 connection".to_owned(),
            number => number.to_string(),
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{y}\">{label}</text>",
            y - 9.0,
            colour(*number),
            x + 14.0
        );
        x += 40.0 + 7.0 * label.len() as f64;
    }
    let begin = y + 12.0;
    y = begin;
    for scenario in Scenario::ALL {
        let Some(by) = record.figures.get(scenario.as_str()) else {
            continue;
        };
        let middle = y + BAR * by.len() as f64 / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            scenario.as_str()
        );
        for (number, figure) in by {
            let width = figure.ratio * scale;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{:.2} ({}/s)</text>",
                BAR - 2.0,
                colour(*number),
                LEFT + width + 4.0,
                y + BAR - 4.0,
                figure.ratio,
                thousands(figure.per_second)
            );
            y += BAR;
        }
        y += GAP;
    }
    let _ = writeln!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{begin:.1}\" x2=\"{LEFT}\" y2=\"{y:.1}\"/>\
         <line class=\"line\" stroke-dasharray=\"4 3\" x1=\"{0:.1}\" y1=\"{begin:.1}\" x2=\"{0:.1}\" y2=\"{y:.1}\"/>",
        LEFT + scale
    );
    y + 16.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::suite::report::Tpcb;
    use crate::suite::report::tests::{cell, report};

    #[test]
    fn every_figure_has_a_bar() {
        let mut report = report(vec![
            cell(Scenario::Spread, 16, &[5_000.0; 3]),
            cell(Scenario::Spread, 256, &[15_000.0; 3]),
            cell(Scenario::HotTransfer, 256, &[10_000.0; 3]),
        ]);
        report.machine.processor = "R&D <2>".to_owned();
        report.relate(Tpcb {
            scale: 50,
            before: 5_000.0,
            after: 5_000.0,
        });
        let mut records = Records::default();
        records.put(&report).unwrap();
        let svg = draw(&records);
        for part in [
            "hot-transfer",
            "3.00 (15,000/s)",
            "1.00 (5,000/s)",
            "R&amp;D &lt;2>",
            "prefers-color-scheme:dark",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        // Three bars and two entries of the legend.
        assert_eq!(svg.matches("<rect").count(), 5);
    }
}
