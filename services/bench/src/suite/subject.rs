//! What is measured: a platform that runs, or command processes that the suite starts on a database of their own and ends by
//! their ids, whatever happens.

use std::collections::HashMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::PgPool;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wallex_journal::read::positions;

use crate::lag::{self, Databases, NAME};
use crate::progress::say;
use crate::suite::args::SuiteArgs;
use crate::suite::number::thousands;
use crate::suite::server::Server;
use crate::suite::{metrics, processes};

/// How long a process may take to become ready, or to migrate.
const START: Duration = Duration::from_secs(60);
/// How long a process may take to end after SIGTERM.
const END: Duration = Duration::from_secs(15);

pub(crate) struct Subject {
    /// Its name in tables: empty unless several are compared.
    pub(crate) label: String,
    /// Where requests go.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) journal: PgPool,
    /// With projections; `None` for command processes alone.
    pub(crate) projected: Option<Databases>,
    /// Names of its databases.
    pub(crate) databases: Vec<String>,
    own: Option<Own>,
}

/// What the suite started.
struct Own {
    processes: Vec<Child>,
    folder: PathBuf,
    wallex: PathBuf,
    /// Variables of its processes.
    environment: Vec<(String, String)>,
}

impl Own {
    /// The program, not started yet, with its output in the file.
    fn program(&self, log: &Path) -> anyhow::Result<Command> {
        let log = File::create(log).with_context(|| format!("no log {}", log.display()))?;
        let mut command = Command::new(&self.wallex);
        // Settings of the stack that this program may have been given are none of theirs.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WALLEX_") {
                command.env_remove(name);
            }
        }
        command
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal is for the suite alone, which ends them afterwards.
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }
}

impl Subject {
    /// A platform that runs.
    pub(crate) async fn platform(args: &SuiteArgs) -> anyhow::Result<Self> {
        let given = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
        let url = given(&args.database_url)
            .context("--database-url is needed: `make bench` takes it from the stack of `make up`")?;
        let read_url = given(&args.read_database_url);
        let databases = Databases::open(&url, read_url.as_deref()).await?;
        let mut names = Vec::new();
        for pool in [&databases.journal, &databases.read] {
            let name = sqlx::query_scalar("SELECT current_database()::text");
            names.push(name.fetch_one(pool).await?);
        }
        Ok(Self {
            label: String::new(),
            addresses: vec![address(&args.api).await?],
            journal: databases.journal.clone(),
            projected: Some(databases),
            databases: names,
            own: None,
        })
    }

    /// Migrates a new database and starts command processes on it.
    pub(crate) async fn command(
        server: &Server,
        wallex: &Path,
        label: String,
        args: &SuiteArgs,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let name = Uuid::now_v7().simple().to_string();
        let database = format!("wallex_bench_{}", &name[20..]);
        let folder = std::env::temp_dir().join(&database);
        std::fs::create_dir(&folder).with_context(|| format!("no folder {}", folder.display()))?;
        let url = match server.create(&database).await {
            Ok(url) => url,
            Err(error) => {
                let _ = std::fs::remove_dir(&folder);
                return Err(error);
            }
        };
        let options: sqlx::postgres::PgConnectOptions = url.parse()?;
        // Not connected yet: from here on, `end` removes what there is.
        let journal = lag::pool_options().connect_lazy_with(options.application_name(NAME));
        let mut subject = Self {
            label,
            addresses: Vec::new(),
            journal,
            projected: None,
            databases: vec![database],
            own: Some(Own {
                processes: Vec::new(),
                folder,
                wallex: wallex.to_owned(),
                environment: environment(url, args),
            }),
        };
        let started = tokio::select! {
            started = subject.start(args) => started,
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped")),
        };
        if let Err(error) = started {
            subject.end(server).await;
            return Err(error);
        }
        Ok(subject)
    }

    async fn start(&mut self, args: &SuiteArgs) -> anyhow::Result<()> {
        let Some(own) = &mut self.own else { return Ok(()) };
        let wallex = own.wallex.clone();
        let log = own.folder.join("migrate.log");
        let mut migrate = own.program(&log)?;
        migrate
            .args(["migrate", "--partitions", &args.partitions.to_string()])
            .env("WALLEX_LISTEN", format!("127.0.0.1:{}", free_port()?));
        let mut migration = migrate
            .spawn()
            .with_context(|| format!("{} cannot be run", wallex.display()))?;
        let status = timeout(START, migration.wait())
            .await
            .context("the migration takes too long")??;
        if !status.success() {
            bail!("{} migrate failed ({status}): {}", wallex.display(), tail(&log));
        }
        for number in 0..args.replicas {
            let log = own.folder.join(format!("command-{number}.log"));
            let listen = format!("127.0.0.1:{}", free_port()?);
            let mut command = own.program(&log)?;
            let command = command.arg("command").env("WALLEX_LISTEN", &listen);
            let mut child = command
                .spawn()
                .with_context(|| format!("{} cannot be run", wallex.display()))?;
            let by = Instant::now() + START;
            while !is_ready(&listen).await {
                if let Some(status) = child.try_wait()? {
                    bail!("{} command ended ({status}): {}", wallex.display(), tail(&log));
                }
                if Instant::now() > by {
                    bail!(
                        "{} command is not ready after {START:?}: {}",
                        wallex.display(),
                        tail(&log)
                    );
                }
                sleep(Duration::from_millis(50)).await;
            }
            own.processes.push(child);
            self.addresses.push(listen.parse()?);
        }
        Ok(())
    }

    /// The components of its processes, without PostgreSQL's.
    pub(crate) fn processes(&self) -> HashMap<u32, String> {
        let mut components = match &self.own {
            Some(own) => own
                .processes
                .iter()
                .filter_map(|process| Some((process.id()?, processes::COMMAND.to_owned())))
                .collect(),
            None => processes::of_platform(),
        };
        components.insert(std::process::id(), processes::GENERATOR.to_owned());
        components
    }

    /// How many the journal has.
    pub(crate) async fn events(&self) -> anyhow::Result<i64> {
        let levels = positions::levels(&self.journal).await;
        let levels = levels.context("the journal cannot be read")?;
        Ok(levels.iter().map(|(_, seq)| seq).sum())
    }

    /// Lets `wallex verify` check the journal.
    pub(crate) async fn verify(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        let events = self.events().await? as f64;
        let log = own.folder.join("verify.log");
        let began = Instant::now();
        let mut check = own.program(&log)?.args(["verify", "--journal-only"]).spawn()?;
        let status = tokio::select! {
            status = check.wait() => status?,
            () = stop.cancelled() => bail!("stopped"),
        };
        if !status.success() {
            bail!("wallex verify ({status}): {}", tail(&log));
        }
        let seconds = began.elapsed().as_secs_f64();
        let [of, rate] = [events, events / seconds].map(thousands);
        say(&format!(
            "wallex verify: {of} events in {seconds:.1} s, {rate} per second, all whole {}",
            self.label
        ));
        Ok(())
    }

    /// What a process that was started has to say, for a failure whose cause it may name.
    pub(crate) fn last_words(&self) -> Option<String> {
        let folder = &self.own.as_ref()?.folder;
        let text = tail(&folder.join("command-0.log"));
        (!text.is_empty()).then_some(text)
    }

    /// Ends and removes what was started for it; leaves a platform alone.
    pub(crate) async fn end(mut self, server: &Server) {
        let Some(own) = &mut self.own else { return };
        for process in &mut own.processes {
            if let Some(pid) = process.id() {
                let _ = Command::new("kill")
                    .args(["-TERM", &pid.to_string()])
                    .status()
                    .await;
            }
            if timeout(END, process.wait()).await.is_err() {
                let _ = process.kill().await;
            }
        }
        self.journal.close().await;
        for database in &self.databases {
            if let Err(error) = server.drop(database).await {
                say(&format!("the database {database} is left behind: {error:#}"));
            }
        }
        let _ = std::fs::remove_dir_all(&own.folder);
    }
}

/// Variables of the processes that the suite starts.
fn environment(database_url: String, args: &SuiteArgs) -> Vec<(String, String)> {
    let mut environment = vec![
        ("WALLEX_DATABASE_URL".to_owned(), database_url),
        // A line per request would go to the same disk as the commits.
        ("WALLEX_LOG".to_owned(), "info,request=warn".to_owned()),
        ("WALLEX_SHUTDOWN_GRACE_SECONDS".to_owned(), "0".to_owned()),
    ];
    if args.replicas > 1 {
        // Each on a port of its own, so that they hand commands on to each other.
        environment.push(("WALLEX_INTERNAL_LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    }
    environment.extend(args.settings.iter().cloned());
    environment
}

/// The address of an API given as a URL.
async fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let host = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| !rest.contains('/'))
        .with_context(|| format!("--api {url}: the suite needs http://host:port"))?;
    let host = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut found = tokio::net::lookup_host(&host)
        .await
        .with_context(|| format!("--api {url}"))?;
    found.next().with_context(|| format!("--api {url}: no such host"))
}

/// Below the kernel's range for outgoing connections, one of which could otherwise take it before the process does.
fn free_port() -> anyhow::Result<u16> {
    let first: u16 = rand::random_range(20_000..30_000);
    (first..32_768)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no port is free")
}

async fn is_ready(host: &str) -> bool {
    metrics::get(host, "/health/ready").await.is_some()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
