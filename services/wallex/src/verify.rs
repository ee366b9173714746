//! `wallex verify`: the journal, and what is derived from it, compared with the events. It reads only.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::ensure;
use wallex_journal::verify::{self, Report};
use wallex_platform::health::Health;
use wallex_platform::{CancellationToken, Settings};

use crate::journal;

/// Prints what is wrong, a line each, and fails when anything is.
pub(crate) async fn run(settings: &Settings, shutdown: &CancellationToken) -> anyhow::Result<ExitCode> {
    let journal = journal::connect(settings, "verify", &Health::new(), shutdown).await?;
    let report = verify::verify(&journal).await?;
    ensure!(
        report.partitions > 0,
        "the journal has no partitions: run `wallex migrate`"
    );
    print(&report)?;
    Ok(if report.total() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    for (kind, more) in report.unnamed() {
        writeln!(out, "{kind}: {more} more")?;
    }
    let verdict = match report.total() {
        0 => "all whole".to_owned(),
        total => format!("{total} problems"),
    };
    writeln!(
        out,
        "{} events in {} partitions, {} wallets: {verdict}",
        report.events, report.partitions, report.wallets,
    )
}
