//! The load generator: loads a running platform over HTTP and then checks the money. It tracks the expected balance of
//! every wallet and predicts every answer, so "ok" means the predicted answer, not merely a 2xx. Beside it, the suite of
//! measurements ([`run_suite`]).
//!
//! The invariant: exit code 0 means that every operation was answered as predicted and that journal, ledger and read
//! model (or, without a database, the API) agree with the generator to the minor unit.

#![forbid(unsafe_code)]

mod args;
mod lag;
mod load;
mod mix;
mod plan;
mod prediction;
mod progress;
mod report;
mod suite;
mod tally;
mod verification;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wallex_runtime::http::client::{Connection, Target};

pub use args::Args;
use lag::{Databases, MaxLag};
use load::{Load, Phase};
use mix::Kind;
use plan::{Plan, Shape};
use progress::{Progress, say};
use report::{Report, Request, milliseconds, write_json};
pub use suite::{SuiteArgs, run as run_suite};
use tally::Tally;
use verification::Differences;

/// The shell's convention for a program ended by SIGINT.
const INTERRUPTED: u8 = 130;
/// How long the API may take to become ready.
const READY: Duration = Duration::from_secs(5);

/// Runs the load, then the check. The exit code: 0 all predicted and verified, 1 not, 130 interrupted.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = wallex_runtime::shutdown::token();
    let enough = enough_on_signal()?;
    let mix = args.shares();
    if mix.transfers > 0 && args.wallets < 2 {
        bail!("transfers need two wallets: raise --wallets or leave transfers out of the mix");
    }
    let target =
        Arc::new(Target::parse(&args.api).with_context(|| format!("--api {} cannot be used", args.api))?);
    ready(&target, &args.api).await?;
    let databases = open(&args).await?;

    // Short enough to retype, and exact in every JSON reader.
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let shape = Shape {
        wallets: args.wallets,
        operations: args.operations,
        mix,
        hot: args.hot,
    };
    let plan = Plan::generate(seed, shape);
    let spread = if args.hot { ", all on one wallet" } else { "" };
    say(&format!(
        "{} operations on {} wallets with {} workers, {mix}{spread}, seed {seed}",
        args.operations, args.wallets, args.workers
    ));

    let timeout = Duration::from_secs(args.timeout);
    let load = Arc::new(Load::new(
        target,
        plan,
        args.currency.clone(),
        timeout,
        args.rate,
        stop.clone(),
        enough.clone(),
    ));
    let (created, _) = phase(&load, Phase::Wallets, args.workers as usize, None).await;
    show_failures(&created);
    if stop.is_cancelled() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !created.failures.is_empty() {
        bail!("not all wallets could be created, so nothing was run on them");
    }

    let (mut tally, (duration, lag)) = phase(
        &load,
        Phase::Operations,
        args.workers as usize,
        databases.as_ref(),
    )
    .await;
    let request = Request {
        wallets: args.wallets,
        operations: if enough.is_cancelled() {
            tally.operations()
        } else {
            args.operations
        },
        workers: args.workers,
        seed,
        mix: mix.to_string(),
        hot: args.hot,
    };
    let mut report = Report::of(request, &tally, duration, lag);
    show_failures(&tally);
    report.interrupted = stop.is_cancelled();
    if !report.interrupted {
        // For a wallet that no operation touched, only its creation is waited for.
        tally.add_positions(&created);
        let drain = Duration::from_secs(args.drain_timeout);
        let checked = verify(&load, databases.as_ref(), &tally, drain, &stop, &mut report).await;
        report.interrupted = stop.is_cancelled();
        // The figures of the run are worth showing even if the check was aborted.
        if let Err(error) = checked {
            say(&format!("the check broke off: {error:#}"));
        }
    }
    finish(&args, &report)
}

/// SIGUSR1: start no more operations.
fn enough_on_signal() -> anyhow::Result<CancellationToken> {
    let enough = CancellationToken::new();
    let mut signal = signal(SignalKind::user_defined1())?;
    let token = enough.clone();
    tokio::spawn(async move {
        signal.recv().await;
        say("SIGUSR1: no more operations");
        token.cancel();
    });
    Ok(enough)
}

/// Fails with a clear message if there is no API to load.
async fn ready(target: &Arc<Target>, api: &str) -> anyhow::Result<()> {
    let mut connection = Connection::new(Arc::clone(target));
    match connection
        .send(Method::GET, "/health/ready", &[], Bytes::new(), READY)
        .await
    {
        Ok(answer) if answer.status == StatusCode::OK => Ok(()),
        Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
            bail!(
                "the API at {api} is not ready: {}",
                String::from_utf8_lossy(&answer.body)
            )
        }
        Ok(answer) => bail!(
            "{api} answers {} to /health/ready, so it is not a Wallex API: name another one with --api",
            answer.status.as_u16()
        ),
        Err(error) => bail!("no API at {api} ({error}): start one, or name another one with --api"),
    }
}

async fn open(args: &Args) -> anyhow::Result<Option<Databases>> {
    // An empty variable counts as not set.
    let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
    match given(&args.database_url) {
        Some(url) => Ok(Some(
            Databases::open(&url, given(&args.read_database_url).as_deref()).await?,
        )),
        None => {
            say("no --database-url: the lag is unknown, and balances are checked by the API's answers alone");
            Ok(None)
        }
    }
}

/// One phase with its progress, and with a lag sampler if there is a database.
async fn phase(
    load: &Arc<Load>,
    phase: Phase,
    workers: usize,
    databases: Option<&Databases>,
) -> (Tally, (Duration, Option<MaxLag>)) {
    let label = match phase {
        Phase::Wallets => "wallets",
        Phase::Operations => "operations",
    };
    let progress = Arc::new(Progress::new(label, load.steps(phase)));
    let done = CancellationToken::new();
    let sampler =
        databases.map(|databases| tokio::spawn(databases.clone().watch(Arc::clone(&progress), done.clone())));
    let (tally, duration) = progress.show(load.run(phase, workers, &progress)).await;
    done.cancel();
    let lag = match sampler {
        Some(sampler) => sampler.await.ok(),
        None => None,
    };
    if let Some(missed) = lag.map(|lag| lag.missed_samples).filter(|missed| *missed > 0) {
        say(&format!(
            "the database did not answer {missed} samples of the lag"
        ));
    }
    (tally, (duration, lag))
}

/// Waits for the projections, compares, and records the outcome in `report`.
async fn verify(
    load: &Load,
    databases: Option<&Databases>,
    tally: &Tally,
    limit: Duration,
    stop: &CancellationToken,
    report: &mut Report,
) -> anyhow::Result<()> {
    let wallets = load.wallets.expected();
    let mut differences = match databases {
        Some(databases) => {
            report.verified_by = "database";
            say("waiting for the projections to catch up");
            match databases.drain(limit, stop).await? {
                Ok(drained) => report.drained_ms = Some(milliseconds(drained)),
                Err(lags) => say(&format!(
                    "the projections are still behind after {limit:?}: {lags}"
                )),
            }
            let initial: i64 = load.plan.initial.iter().sum();
            let moved = |kind| i128::from(tally.kind(kind).amount);
            let total = i128::from(initial) + moved(Kind::Credits) - moved(Kind::Debits);
            verification::by_database(databases, &wallets, total).await?
        }
        None => {
            report.verified_by = "api";
            let begin = Instant::now();
            let first = &wallets[..1];
            let first = verification::by_api(&load.target, first, &tally.positions, limit, stop).await;
            report.drained_ms = (first.count == 0).then(|| milliseconds(begin.elapsed()));
            first
        }
    };
    let sample = if databases.is_some() {
        verification::sample(&wallets)
    } else {
        wallets
    };
    let read = verification::by_api(&load.target, &sample, &tally.positions, limit, stop).await;
    differences.append(read);
    if !stop.is_cancelled() {
        show_differences(&differences, report.failed);
        report.differences = differences.count;
        report.verified = differences.count == 0 && report.drained_ms.is_some();
    }
    Ok(())
}

fn show_failures(tally: &Tally) {
    for (code, failure) in &tally.failures {
        say(&format!(
            "{} failed with {code}, the first: {}",
            failure.count, failure.example
        ));
    }
}

fn show_differences(differences: &Differences, failed: u64) {
    for line in &differences.shown {
        say(line);
    }
    if differences.count > differences.shown.len() {
        say(&format!(
            "and {} more differences",
            differences.count - differences.shown.len()
        ));
    }
    if differences.count > 0 && failed > 0 {
        say(
            "operations that were given up may have happened or not; they can explain differences on their wallets",
        );
    }
}

fn finish(args: &Args, report: &Report) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout(), "{}", report.table())?;
    if let Some(file) = &args.json {
        write_json(file, report)?;
    }
    Ok(if report.interrupted {
        ExitCode::from(INTERRUPTED)
    } else if report.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
