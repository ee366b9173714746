//! `wallex dev`: all roles in one process, with projections tailing the journal. A private PostgreSQL keeps its data
//! between runs, unless DATABASE_URL names another.
//!
//! It listens on the loopback interface unless `listen` is set: a newcomer has not yet considered who can reach the machine.

mod folder;
mod postgresql;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use axum::extract::Request;
use axum::middleware::{self, Next};
use tokio::sync::watch;
use wallex_projections::Name;
use wallex_projector::Feed;
use wallex_runtime::health::Health;
use wallex_runtime::http::{Ending, ServeError};
use wallex_runtime::settings::{InForce, Origin};
use wallex_runtime::{CancellationToken, Secret, Settings, http};

use crate::{api, journal, migrate, roles};

/// Debian's `nobody`, the user that root switches to because PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// The API's default port.
const PORT: u16 = 3000;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Port of the API, on the loopback interface unless --listen names another address [default: 3000]
    #[arg(long)]
    port: Option<u16>,
    /// Folder of the private PostgreSQL, of one `wallex dev` at a time [default: /var/tmp/wallex-dev-USER]
    #[arg(long, value_name = "FOLDER", overrides_with = "data")]
    data: Option<PathBuf>,
}

impl Args {
    fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(folder::default)
    }

    /// Where to listen: the setting `listen`, if set, with the port from `--port`.
    fn listen(&self, settings: &Settings, in_force: &[InForce]) -> SocketAddr {
        let is_set = |setting: &InForce| setting.name == "listen" && setting.origin != Origin::Default;
        let mut listen = if in_force.iter().any(is_set) {
            settings.listen
        } else {
            (Ipv4Addr::LOCALHOST, PORT).into()
        };
        if let Some(port) = self.port {
            listen.set_port(port);
        }
        listen
    }
}

fn external_database() -> Option<String> {
    ["WALLEX_DATABASE_URL", "DATABASE_URL"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
}

/// For root: becomes an unprivileged user by re-executing the program in place, so that signals reach only one process.
/// Returns if there is nothing to do, or if it failed.
///
/// The folder belongs to the unprivileged user: root neither writes into it nor executes anything from it.
pub(crate) fn unprivileged(args: &Args) -> Option<ExitCode> {
    if folder::own_user() != Some(0) || external_database().is_some() {
        return None;
    }
    let become_nobody = || -> anyhow::Result<Infallible> {
        let data = folder::prepare(&args.data(), &[0, NOBODY])?;
        lchown(&data, Some(NOBODY), Some(NOBODY))
            .with_context(|| format!("giving {} to an unprivileged user", data.display()))?;
        // Not by its path, which only root may be able to read.
        let failed = std::process::Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .arg("--data")
            .arg(&data)
            .env("HOME", &data)
            .current_dir(&data)
            .uid(NOBODY)
            .gid(NOBODY)
            .exec();
        let program = std::env::current_exe().unwrap_or_default();
        Err(failed).with_context(|| {
            format!(
                "starting {} as an unprivileged user, because PostgreSQL does not run as root; others must be allowed \
                 to execute it. Or set DATABASE_URL to use a PostgreSQL of your own",
                program.display()
            )
        })
    };
    become_nobody().err().map(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

pub(crate) async fn run(
    mut settings: Settings,
    in_force: &[InForce],
    args: Args,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    settings.listen = args.listen(&settings, in_force);
    // Fails before a database is downloaded and started in vain. If the port is 0, the assigned one is fixed from here
    // on.
    let told = |error| told(error, args.port);
    settings.listen = http::bind(settings.listen)
        .await
        .and_then(|listener| {
            let listen = settings.listen;
            listener
                .local_addr()
                .map_err(|source| ServeError::Bind { listen, source })
        })
        .map_err(told)?;
    // A separate token, so that a shutdown due to a database failure is not mistaken for a requested one.
    let ending = shutdown.child_token();
    let mut private = None;
    match external_database() {
        Some(url) => settings.database_url = Some(Secret::new(url)),
        None => {
            let (server, url) = postgresql::start(&args.data(), ending.clone()).await?;
            settings.database_url = Some(Secret::new(url));
            private = Some(server);
        }
    }
    let served = serve(settings, args.port, ending.clone()).await;
    ending.cancel();
    if let Some(server) = private {
        server.stop().await?;
    }
    served
}

/// A port in use is the first thing that can go wrong, and here a flag fixes it. `port` is the value of `--port`, so that
/// the message can point to it.
fn told(error: ServeError, port: Option<u16>) -> anyhow::Error {
    let ServeError::Bind { listen, source } = &error;
    match source.kind() {
        io::ErrorKind::AddrInUse => anyhow!("{listen} is in use: choose another port with --port"),
        io::ErrorKind::PermissionDenied => anyhow!(
            "cannot listen on {listen}: {source}; ports below 1024 are the system's, choose another one with --port"
        ),
        _ => match port {
            Some(port) => anyhow!("cannot listen on {listen} (setting listen, with --port {port}): {source}"),
            None => error.into(),
        },
    }
}

async fn serve(settings: Settings, port: Option<u16>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let health = Health::new();
    let mut batcher = None;
    let mut projecting = Vec::new();
    // A client that writes here reads a moment later, so the projections must not wait for their next poll.
    let (committed, woken) = watch::channel(());
    let starting = async {
        migrate::migrate(
            &settings,
            &migrate::Args {
                partitions: 10,
                adopt: false,
                expect_events: 0,
                expect_journal: None,
            },
            &health,
            &shutdown,
        )
        .await?;
        let (journal, read) = journal::connect_both(&settings, "dev", &health, &shutdown).await?;
        for projection in Name::ALL {
            let (journal, read) = (journal.clone(), read.clone());
            let feed = Feed::WokenJournal(woken.clone());
            projecting.push(roles::spawn_projection(
                projection, feed, &settings, journal, read, &health, &shutdown,
            ));
        }
        let (writing, state) = roles::writes(&settings, journal.clone(), &shutdown).await?;
        batcher = Some(writing);
        tracing::info!("the API is at http://localhost:{}", settings.listen.port());
        let reads = roles::reads(&settings, roles::SourceName::Journal, &read, journal, &shutdown);
        let wake = move |request: Request, next: Next| wake(committed.clone(), request, next);
        anyhow::Ok(api::full(state, reads).layer(middleware::from_fn(wake)))
    };
    let ending = Ending::without_grace(&settings);
    let served = roles::serve(&settings, starting, &health, &shutdown, ending).await;
    served.map_err(|error| match error.downcast::<ServeError>() {
        Ok(error) => told(error, port),
        Err(error) => error,
    })?;
    if let Some(batcher) = batcher {
        batcher.finish().await;
    }
    for projecting in projecting {
        projecting.await??;
    }
    Ok(())
}

/// Wakes the projections once a request that may have written is decided, before its answer is sent.
async fn wake(committed: watch::Sender<()>, request: Request, next: Next) -> axum::response::Response {
    let writes = !request.method().is_safe();
    let answer = next.run(request).await;
    if writes {
        committed.send_replace(());
    }
    answer
}

#[cfg(test)]
mod tests {
    use wallex_runtime::Flags;

    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_is_told_by_where_its_port_came_from() {
        let said = |kind: io::ErrorKind, port| {
            let listen = (Ipv4Addr::LOCALHOST, 80).into();
            let source = kind.into();
            told(ServeError::Bind { listen, source }, port).to_string()
        };
        for kind in [
            io::ErrorKind::AddrInUse,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::AddrNotAvailable,
        ] {
            let said = said(kind, Some(80));
            assert!(
                said.contains("--port") && !said.contains("WALLEX_LISTEN"),
                "{said}"
            );
        }
        let said = said(io::ErrorKind::AddrNotAvailable, None);
        assert!(said.contains("WALLEX_LISTEN"), "{said}");
    }

    #[test]
    fn it_listens_on_the_loopback_interface_unless_told() {
        let Ok(mut settings) = Settings::from_flags(&Flags::default()) else {
            panic!("the defaults are valid");
        };
        settings.listen = (Ipv4Addr::UNSPECIFIED, 8080).into();
        let set = |origin| {
            [InForce {
                name: "listen",
                value: None,
                origin,
            }]
        };
        let args = |port| Args { port, data: None };
        let given = Origin::Variable("WALLEX_LISTEN".to_owned());
        for (port, origin, expected) in [
            (None, Origin::Default, "127.0.0.1:3000"),
            (Some(4000), Origin::Default, "127.0.0.1:4000"),
            (None, given.clone(), "0.0.0.0:8080"),
            (Some(4000), given, "0.0.0.0:4000"),
        ] {
            let listen = args(port).listen(&settings, &set(origin));
            assert_eq!(listen.to_string(), expected);
        }
    }
}
