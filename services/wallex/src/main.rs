//! `wallex`: all roles of the platform and the user's tools in one binary. This crate only combines the others: it
//! reads the settings, connects, and starts what the subcommand names.
#![forbid(unsafe_code)]

mod api;
mod config;
mod dev;
mod journal;
mod last_words;
mod log_level;
mod member;
mod migrate;
mod openapi;
mod projection;
mod roles;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wallex_domain::LastWords;
use wallex_projections::Name;
use wallex_runtime::settings::InForce;
use wallex_runtime::{CancellationToken, Flags, Settings, shutdown, telemetry, trace};

use crate::last_words::TerminationMessage;

/// Allocation takes a tenth of the command role's CPU time with the system's allocator, a twentieth with this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wallex: event-sourced wallets on PostgreSQL and Kafka.
///
/// Try it: `wallex dev` runs everything in one process, then
///   curl -s localhost:3000/v1/wallets -H 'Content-Type: application/json' \
///     -H 'Idempotency-Key: first' -d '{"currency":"EUR","initial_balance":1000}'
///
/// Every setting is a flag, a WALLEX_ variable or a key of the TOML file that --config names;
/// `wallex COMMAND --help` lists them, `wallex config` shows which are in force.
#[derive(Parser)]
#[command(name = "wallex", version, verbatim_doc_comment)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// File for the reason that a role, `migrate` or `maintain` ends for, as JSON, and for what a migration has reached:
    /// Kubernetes' terminationMessagePath
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "WALLEX_TERMINATION_MESSAGE",
        hide_short_help = true
    )]
    termination_message: Option<PathBuf>,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve the API: writes go to the journal, reads come from the read model
    Command,
    /// Copy the journal to Kafka, in order, at least once
    Publisher,
    /// Keep one projection up to date with the journal
    Projector {
        /// Which projection: ledger or read-model
        #[arg(value_parser = roles::projection())]
        projection: Name,
        /// Where events come from: kafka or journal
        #[arg(long, default_value = "kafka")]
        source: roles::SourceName,
    },
    /// Serve reads only
    Query,
    /// Create or upgrade the database schemas; safe to repeat
    Migrate(migrate::Args),
    /// Maintain the database: delete expired idempotency answers
    Maintain,
    /// Check the books: recompute the hash chain and compare everything derived from the events with them
    ///
    /// Reads the whole journal and both projections, and changes nothing; safe on a running platform. Prints a line for
    /// each fault, at most 20 of a kind, and exits with 1 when there is one. docs/journal.md says what it detects, what
    /// it does not, and what it costs.
    #[command(verbatim_doc_comment)]
    Verify(verify::Args),
    /// Empty a projection and have it filled again from the journal
    Projection(projection::Args),
    /// Run everything in one process, without Kafka; starts a private PostgreSQL unless DATABASE_URL is set
    Dev(dev::Args),
    /// Show the settings in force and where each came from, secrets redacted
    ///
    ///   wallex config                                 what this shell's variables result in
    ///   wallex config --config my.toml --writers 2    with a file and a flag, as a role would read them
    ///   kubectl exec deploy/demo-command -- wallex config    what a pod runs with
    ///   wallex config --reference                     all settings, in Markdown
    ///
    /// The lines are TOML, with the origin of each value as a comment: put into a file they are a
    /// start for one of your own, secrets to be filled in. A setting that is not valid is an error
    /// that names it and where it came from.
    #[command(verbatim_doc_comment)]
    Config(config::Args),
    /// Show or change what a running role logs; the change is lost on restart
    ///
    ///   kubectl exec deploy/demo-command -- wallex log-level                      what is logged now
    ///   kubectl exec deploy/demo-command -- wallex log-level debug                more, in one of its pods
    ///   kubectl exec POD -- wallex log-level info,wallex_journal=debug            more of one module
    ///   kubectl exec POD -- wallex log-level info                                 a line for each request
    ///   kubectl exec POD -- wallex log-level info,request=warn                    of requests only what is slow or failed
    ///   wallex log-level debug --port 3000                                        wallex dev on this machine
    #[command(verbatim_doc_comment)]
    LogLevel(log_level::Args),
    /// Print the OpenAPI 3.1 description of the HTTP interface
    ///
    ///   wallex openapi > wallex.json     for generators of clients and for testers of contracts
    ///
    /// It is what the command role serves at /openapi.json: reads and writes. The query role serves
    /// its part of it.
    #[command(verbatim_doc_comment)]
    Openapi,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // As root, `dev` switches to an unprivileged user before any threads start.
    if let Verb::Dev(args) = &cli.command
        && let Some(code) = dev::unprivileged(args)
    {
        return code;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let path = cli.termination_message.as_deref();
    let last = TerminationMessage::to(path.filter(|_| nature(&cli.command).0));
    runtime.block_on(async {
        match run(cli, &last).await {
            Ok(code) => code,
            // As in `wallex config | head`: the reader has seen enough.
            Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => {
                let told = told(&error);
                eprintln!("error: {told}");
                last.failed(&error, told);
                ExitCode::FAILURE
            }
        }
    })
}

/// Whether containers are started for this subcommand, and a role's name in traces; chores have none. People run the others
/// in existing containers, which have their own termination message.
fn nature(command: &Verb) -> (bool, Option<String>) {
    let role = |name: &str| Some(name.to_owned());
    match command {
        Verb::Command => (true, role("command")),
        Verb::Publisher => (true, role("publisher")),
        Verb::Projector { projection, .. } => (true, Some(projection.projector())),
        Verb::Query => (true, role("query")),
        Verb::Migrate(_) | Verb::Maintain => (true, None),
        Verb::Dev(_) => (false, role("dev")),
        Verb::Verify(_) | Verb::Projection(_) | Verb::Config(_) | Verb::LogLevel(_) | Verb::Openapi => {
            (false, None)
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let of_output = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(of_output)
}

/// The error and its causes, each shown once: some errors repeat their cause.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

async fn run(cli: Cli, last: &TerminationMessage) -> anyhow::Result<ExitCode> {
    // These need no role settings, or must work even if they are wrong.
    match &cli.command {
        Verb::Config(args) => return config::run(&cli.flags, args),
        Verb::Openapi => return openapi::print(),
        Verb::LogLevel(args) => return log_level::run(&cli.flags, args).await,
        Verb::Command
        | Verb::Publisher
        | Verb::Projector { .. }
        | Verb::Query
        | Verb::Migrate(_)
        | Verb::Maintain
        | Verb::Verify(_)
        | Verb::Projection(_)
        | Verb::Dev(_) => {}
    }
    let (settings, in_force) = Settings::load_in_force(&cli.flags)?;
    telemetry::init(&settings);
    let (_, role) = nature(&cli.command);
    if let Some(role) = &role {
        trace::init(&settings, role);
    }
    let shutdown = shutdown::token();
    let done = run_role(cli.command, settings, &in_force, last, &shutdown).await;
    trace::finish().await;
    telemetry::finish();
    match done {
        // Stopped while waiting for something: not a failure for a role. But a chore is not done, and its Job must not
        // count as complete.
        Err(error) if role.is_some() && shutdown.is_cancelled() => {
            tracing::info!(%error, "stopped");
            last.failed(&error, told(&error));
            Ok(ExitCode::SUCCESS)
        }
        done => done,
    }
}

async fn run_role(
    command: Verb,
    settings: Settings,
    in_force: &[InForce],
    last: &TerminationMessage,
    shutdown: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    match command {
        Verb::Command => roles::command(settings, shutdown.clone()).await?,
        Verb::Publisher => roles::publisher(settings, shutdown.clone()).await?,
        Verb::Projector { projection, source } => {
            roles::projector(settings, projection, source, shutdown.clone()).await?;
        }
        Verb::Query => roles::query(settings, shutdown.clone()).await?,
        Verb::Migrate(args) => {
            let migrated = migrate::in_sight(&settings, &args, shutdown).await?;
            last.leave(LastWords::Migrated(migrated));
        }
        Verb::Maintain => migrate::maintain(&settings, shutdown).await?,
        Verb::Verify(args) => return verify::run(settings, &args, shutdown).await,
        Verb::Projection(args) => return projection::run(&settings, &args, shutdown).await,
        Verb::Dev(args) => dev::run(settings, in_force, args, shutdown.clone()).await?,
        // Already handled before the settings were read.
        Verb::Config(_) | Verb::LogLevel(_) | Verb::Openapi => {}
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_cause_that_its_error_repeats_is_told_once() {
        let cause = std::io::Error::other("no right");
        let error = anyhow::Error::new(cause)
            .context("migrating: no right")
            .context("start");
        assert_eq!(super::told(&error), "start: migrating: no right");
    }
}
