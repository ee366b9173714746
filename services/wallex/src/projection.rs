//! `wallex projection`: manual operations on a whole projection.

use std::process::ExitCode;

use clap::Subcommand;
use sqlx::PgPool;
use wallex_journal::read;
use wallex_projections::Name;
use wallex_runtime::{CancellationToken, Settings};

use crate::journal;
use crate::roles::projection;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Empty a projection; its running projectors fill it again from the journal
    ///
    ///   wallex projection reset read-model --yes
    ///   kubectl -n NAMESPACE exec deploy/NAME-command -- wallex projection reset ledger --yes
    ///
    /// Safe at any time, also while projectors run: rows and cursors go in one transaction, and no event is applied half or
    /// twice. No data is lost: the journal has all of it. But until the projection has caught up, its reads are
    /// stale or answer 503; /health/projections says how far it is. Erasures of personal data stay done.
    #[command(verbatim_doc_comment)]
    Reset {
        /// Which projection: ledger or read-model
        #[arg(value_parser = projection())]
        projection: Name,
        /// Do it. Without this nothing is done
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(
    settings: &Settings,
    args: &Args,
    shutdown: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let Action::Reset { projection, yes } = args.action;
    let (journal, read) = journal::connect_tool_both(settings, "projection", shutdown).await?;
    let events = read::partitions(&journal)
        .await?
        .iter()
        .map(|head| head.mark.seq)
        .sum::<i64>();
    let name = projection.noun();
    if !yes {
        eprintln!(
            "This empties the {name} of {} and has its projectors apply {events} events again. Until they have, reads of it \
             are stale or get a 503. Nothing is lost. Add --yes to do it.",
            settings.platform_id()
        );
        return Ok(ExitCode::FAILURE);
    }
    reset(projection, &journal, &read).await?;
    tracing::info!(
        projection = name,
        events,
        "emptied; its projectors fill it again from the journal"
    );
    Ok(ExitCode::SUCCESS)
}

async fn reset(projection: Name, journal: &PgPool, read: &PgPool) -> anyhow::Result<()> {
    let heads = read::partitions(journal).await?;
    let mut db = read.acquire().await?.detach();
    wallex_projections::reset(projection, &mut db, &heads).await?;
    Ok(())
}
