//! `wallex verify`: compares the journal and its projections with the events. Read-only.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::ensure;
use wallex_journal::verify::{self, Report};
use wallex_projections::verify::{self as projections, Compared, Projections};
use wallex_runtime::{CancellationToken, Settings};

use crate::journal;

/// One connection to each side; both may be the same database.
const CONNECTIONS: u32 = 2;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Leave out the projections: neither ledger nor read model is looked at
    #[arg(long)]
    journal_only: bool,
}

/// Prints one line per problem, and fails if there is any.
pub(crate) async fn run(
    mut settings: Settings,
    args: &Args,
    shutdown: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    settings.database_max_connections = CONNECTIONS;
    let checking = async {
        if args.journal_only {
            let journal = journal::connect_tool(&settings, "verify", shutdown).await?;
            return anyhow::Ok((verify::verify(&journal).await?, None));
        }
        let (journal, read) = journal::connect_tool_both(&settings, "verify", shutdown).await?;
        let mut report = verify::verify(&journal).await?;
        let compared = projections::compare(&journal, &read, &mut report).await?;
        Ok((report, Some(compared)))
    };
    let (report, compared) = tokio::select! {
        biased;
        // Half a check must not be mistaken for a complete one.
        () = shutdown.cancelled() => {
            tracing::error!("stopped before the check was complete");
            return Ok(ExitCode::FAILURE);
        }
        checked = checking => checked?,
    };
    ensure!(
        report.partitions > 0 || report.total() > 0,
        "the journal has no partitions: run `wallex migrate`"
    );
    match print(&report, compared) {
        // The reader stopped reading. The verdict stands.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    Ok(if report.total() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(report: &Report, compared: Option<Projections>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    for (kind, more) in report.unnamed() {
        writeln!(out, "{kind}: {more} more")?;
    }
    for (name, Compared { events, behind }) in compared.into_iter().flat_map(Projections::each) {
        writeln!(
            out,
            "{}: {events} events compared, {behind} not applied yet",
            name.noun()
        )?;
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
