//! The suite: scenarios with warm-up and windows, against a platform or against command processes of its own, as ratios to
//! pgbench on the same server. The invariant: exit code 0 means that every request got the expected answer and that every
//! balance was as predicted afterwards; whatever the suite started is ended and removed in any case.

mod args;
mod costs;
mod drive;
mod measure;
mod metrics;
mod number;
mod pgbench;
mod processes;
mod record;
mod report;
mod request;
mod scenario;
mod server;
mod setup;
mod subject;
mod svg;
mod table;
mod visible;
mod wallets;
mod wire;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use args::Roles;
pub use args::SuiteArgs;
use measure::{Measurement, Prepared};
use pgbench::Pgbench;
use record::Records;
use report::{Cell, Machine, SuiteReport, Tpcb};
use scenario::Scenario;
use server::Server;
use setup::Setup;
use subject::Subject;

use crate::INTERRUPTED;
use crate::progress::say;
use crate::report::write_json;
use crate::verification::{self, Differences};

/// How long the projections may take to catch up with a scenario.
const DRAIN: Duration = Duration::from_secs(120);

/// Runs the suite. The exit code: 0 all as expected, 1 not, 130 interrupted.
pub async fn run(args: SuiteArgs) -> anyhow::Result<ExitCode> {
    let stop = wallex_runtime::shutdown::token();
    let url = args
        .server_url
        .as_ref()
        .filter(|url| !url.is_empty())
        .or(match args.roles {
            Roles::Platform => args.database_url.as_ref(),
            Roles::Command => None,
        })
        .context("--server-url is needed: `make bench` starts a PostgreSQL and gives it")?;
    let server = Server::connect("--server-url", url).await?;
    let mut suite = Suite {
        args: &args,
        server: &server,
        stop: &stop,
        pgbench: None,
        subjects: Vec::new(),
    };
    let finished = suite.measure().await;
    suite.end().await;
    match finished {
        _ if stop.is_cancelled() => Ok(ExitCode::from(INTERRUPTED)),
        Ok(report) => {
            finish(&args, &report)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    }
}

/// What has been started so far.
struct Suite<'a> {
    args: &'a SuiteArgs,
    server: &'a Server,
    stop: &'a CancellationToken,
    /// The name of pgbench's database.
    pgbench: Option<String>,
    subjects: Vec<Subject>,
}

impl Suite<'_> {
    async fn measure(&mut self) -> anyhow::Result<SuiteReport> {
        let pgbench = self.fill_pgbench().await?;
        let before = self.tpcb(pgbench.as_ref()).await?;
        self.start().await?;
        let mut report = self.report().await?;
        for scenario in &self.args.scenarios {
            if scenario.needs_projections() && self.args.roles == Roles::Command {
                say(&format!(
                    "{:<13}left out: it needs projections",
                    scenario.as_str()
                ));
                continue;
            }
            let measured = self.scenario(*scenario).await;
            if measured.is_err() && !self.stop.is_cancelled() {
                for words in self.subjects.iter().filter_map(Subject::last_words) {
                    say(&format!("the last lines of the command role:\n{words}"));
                }
            }
            report.cells.extend(measured?);
            report.verified.push(scenario.as_str());
        }
        if self.args.verify {
            for subject in &self.subjects {
                subject.verify(self.stop).await?;
            }
        }
        let after = self.tpcb(pgbench.as_ref()).await?;
        if let (Some(before), Some(after)) = (before, after) {
            report.relate(Tpcb {
                scale: self.args.pgbench_scale,
                before,
                after,
            });
        }
        Ok(report)
    }

    async fn fill_pgbench(&mut self) -> anyhow::Result<Option<Pgbench>> {
        if self.args.pgbench == 0 {
            return Ok(None);
        }
        let name = Uuid::now_v7().simple().to_string();
        let name = format!("wallex_bench_tpcb_{}", &name[20..]);
        say(&format!("pgbench: filling scale {}", self.args.pgbench_scale));
        self.pgbench = Some(name.clone());
        let filled = Pgbench::fill(
            self.server,
            name,
            self.args.pgbench_scale,
            self.args.pgbench,
            self.stop,
        );
        Ok(Some(filled.await.context(
            "pgbench; --pgbench 0 goes without it and without ratios",
        )?))
    }

    async fn tpcb(&self, pgbench: Option<&Pgbench>) -> anyhow::Result<Option<f64>> {
        let Some(pgbench) = pgbench else { return Ok(None) };
        self.server.settle().await;
        let rate = pgbench.run(self.stop).await?;
        say(&format!("pgbench: TPC-B {} per second", number::thousands(rate)));
        Ok(Some(rate))
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        if self.args.roles == Roles::Platform {
            self.subjects.push(Subject::platform(self.args).await?);
            return Ok(());
        }
        let first = match &self.args.wallex {
            Some(path) => path.clone(),
            None => beside()?,
        };
        let builds: Vec<&Path> = std::iter::once(first.as_path())
            .chain(self.args.against.as_deref())
            .collect();
        for (number, wallex) in builds.iter().enumerate() {
            let label = match builds.len() {
                1 => String::new(),
                _ => format!("{} {}", ["A", "B"][number], wallex.display()),
            };
            let subject = Subject::command(self.server, wallex, label, self.args, self.stop);
            self.subjects.push(subject.await?);
        }
        Ok(())
    }

    /// All combinations of a scenario, and then its balances.
    async fn scenario(&self, scenario: Scenario) -> anyhow::Result<Vec<Cell>> {
        let run = format!("suite-{}", Uuid::now_v7().simple());
        let mut prepared = Vec::new();
        for subject in &self.subjects {
            let setup = Setup {
                scenario,
                many: self.args.wallets,
                events: self.args.events,
                run: &run,
                stop: self.stop,
            };
            let wallets = Arc::new(setup.wallets(subject).await?);
            self.catch_up(subject).await?;
            prepared.push(Prepared { subject, wallets });
        }
        let mut all = Vec::new();
        for connections in scenario.connections(&self.args.connections) {
            let measurement = Measurement {
                args: self.args,
                server: self.server,
                scenario,
                connections,
                run: format!("{run}-{connections}"),
                stop: self.stop,
            };
            let mut cells = measurement.cells(&prepared).await?;
            if let [first, second] = &mut cells[..] {
                second.compare(first);
            }
            for cell in &cells {
                say(&format!(
                    "{:<13}{:>4} connections: {:>7} per second ({} to {}), p50 {:.1} ms, p99 {:.1} ms {}",
                    cell.scenario,
                    cell.connections,
                    number::thousands(cell.median),
                    number::thousands(cell.min),
                    number::thousands(cell.max),
                    cell.p50_ms,
                    cell.p99_ms,
                    cell.build
                ));
            }
            all.extend(cells);
            // The next combination must not have to work off this one.
            for subject in &self.subjects {
                self.catch_up(subject).await?;
            }
        }
        for one in &prepared {
            verify(one).await?;
        }
        Ok(all)
    }

    async fn catch_up(&self, subject: &Subject) -> anyhow::Result<()> {
        if let Some(databases) = &subject.projected
            && let Err(lags) = databases.drain(DRAIN, self.stop).await?
        {
            bail!("the projections are still behind after {DRAIN:?}: {lags}");
        }
        Ok(())
    }

    async fn report(&self) -> anyhow::Result<SuiteReport> {
        let mut settings: Vec<String> = self
            .args
            .settings
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        if self.args.replicas > 1 {
            settings.push(format!("{} replicas", self.args.replicas));
        }
        if self.args.events > 0 {
            settings.push(format!(
                "{} events before",
                number::thousands(self.args.events as f64)
            ));
        }
        Ok(SuiteReport {
            roles: self.args.roles.name(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            machine: machine(),
            postgresql: self.server.version().await?,
            windows: self.args.windows,
            seconds: self.args.seconds,
            wallets: self.args.wallets,
            settings,
            tpcb: None,
            cells: Vec::new(),
            verified: Vec::new(),
        })
    }

    async fn end(self) {
        for subject in self.subjects {
            subject.end(self.server).await;
        }
        if let Some(database) = self.pgbench
            && let Err(error) = self.server.drop(&database).await
        {
            say(&format!("the database {database} is left behind: {error:#}"));
        }
    }
}

/// Fails unless every wallet has what the answers said.
async fn verify(prepared: &Prepared<'_>) -> anyhow::Result<()> {
    let expected = prepared.wallets.expected();
    let total = expected.iter().map(|(_, balance)| i128::from(*balance)).sum();
    let subject = prepared.subject;
    let differences = match &subject.projected {
        Some(databases) => verification::by_database(databases, &expected, total).await?,
        None => {
            let mut differences = Differences::default();
            verification::by_journal(&subject.journal, &expected, &mut differences).await?;
            differences
        }
    };
    if differences.count > 0 {
        bail!(
            "{} balances are not as predicted:\n{}",
            differences.count,
            differences.shown.join("\n")
        );
    }
    Ok(())
}

fn beside() -> anyhow::Result<PathBuf> {
    let wallex = std::env::current_exe()?.with_file_name("wallex");
    if !wallex.exists() {
        bail!("there is no {}: name the program with --wallex", wallex.display());
    }
    Ok(wallex)
}

fn machine() -> Machine {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        processor: model.unwrap_or_else(|| "unknown processor".to_owned()),
    }
}

fn finish(args: &SuiteArgs, report: &SuiteReport) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", table::render(report))?;
    if let Some(file) = &args.json {
        write_json(file, report)?;
    }
    if let Some(file) = &args.baseline {
        for line in Records::read(file)?.fallen(report) {
            say(&format!("warning: {line}"));
        }
    }
    if let Some(file) = &args.record {
        let mut records = Records::read(file)?;
        records.put(report)?;
        records.write(file)?;
    }
    if let Some(file) = &args.svg {
        let source = args.record.as_ref().or(args.baseline.as_ref());
        let source = source.context("--svg draws what is recorded: give --record or --baseline, too")?;
        std::fs::write(file, svg::draw(&Records::read(source)?))
            .with_context(|| format!("cannot write --svg {}", file.display()))?;
    }
    Ok(())
}
