//! How every role gets its database: it waits for the server, then for the schema, refuses another platform's journal,
//! and monitors connection and schemas for readiness.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use wallex_domain::{Ailment, PlatformId};
use wallex_journal::platform_id::{self, PlatformIdError};
use wallex_journal::schema;
use wallex_postgres::schema::SchemaError;
use wallex_runtime::health::{Check, Health};
use wallex_runtime::{CancellationToken, Secret, Settings, database};

use crate::last_words::Ailing;

/// Interval between two checks for a missing schema.
const SCHEMA_RETRY: Duration = Duration::from_secs(1);
/// Interval between two checks of the connection.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Timeout of a tool's single connection attempt.
const TOOL_ATTEMPT: Duration = Duration::from_secs(5);
/// Interval between two log lines about a missing schema.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// A pool on the journal, once it belongs to this platform and fits this build.
pub(crate) async fn connect(
    settings: &Settings,
    role: &str,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<PgPool> {
    let check = health.check("database");
    let journal = database::connect(
        settings.database_url()?,
        settings.database_max_connections,
        &format!("wallex-{role}"),
        "database_url",
        &check,
        shutdown,
    )
    .await?;
    let ours = settings.platform_id();
    wait_for(async || journal_fits(&journal, &ours).await, &check, shutdown).await?;
    database::show_pool("journal", &journal);
    let watched = Watched::Journal(journal.clone());
    tokio::spawn(watch(watched, "database_url", Some(check), shutdown.clone()));
    Ok(journal)
}

/// Both sides: the journal, and the database of the projections.
pub(crate) async fn connect_both(
    settings: &Settings,
    role: &str,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<(PgPool, PgPool)> {
    let journal = connect(settings, role, health, shutdown).await?;
    let read = connect_read_side(settings, role, &journal, health, shutdown).await?;
    let check = health.check("read_side");
    wait_for(async || read_side_fits(&read).await, &check, shutdown).await?;
    let watched = Watched::ReadSide(read.clone());
    let setting = settings.read_database_setting();
    tokio::spawn(watch(watched, setting, Some(check), shutdown.clone()));
    Ok((journal, read))
}

/// Both sides for the role that writes: it does not wait for the read side, nor become unready without it. Reads then
/// fail, as on the query, but money still moves.
pub(crate) async fn connect_to_write(
    settings: &Settings,
    role: &str,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<(PgPool, PgPool)> {
    let journal = connect(settings, role, health, shutdown).await?;
    let setting = settings.read_database_setting();
    let read = if settings.read_database_url.is_none() {
        journal.clone()
    } else {
        let read = database::connect_when_asked(
            settings.read_database_url()?,
            settings.database_max_connections,
            &format!("wallex-{role}"),
            setting,
        )?;
        database::show_pool("read", &read);
        read
    };
    let watched = Watched::ReadSide(read.clone());
    tokio::spawn(watch(watched, setting, None, shutdown.clone()));
    Ok((journal, read))
}

/// How long a tool waits for a database that does not answer or has no schema. A role waits forever: it has nothing
/// better to do, and is restarted if needed. A tool's user is watching.
pub(crate) const TOOL_PATIENCE: Duration = Duration::from_secs(30);

/// A pool on the journal for a tool; the error after [`TOOL_PATIENCE`] says what it waited for.
pub(crate) async fn connect_tool(
    settings: &Settings,
    tool: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<PgPool> {
    let by = Instant::now() + TOOL_PATIENCE;
    let (url, ours) = (settings.database_url()?, settings.platform_id());
    let journal = reach(settings, url, "database_url", tool, by, shutdown).await?;
    fits_by(by, async || journal_fits(&journal, &ours).await).await?;
    Ok(journal)
}

/// Both sides, for a tool.
pub(crate) async fn connect_tool_both(
    settings: &Settings,
    tool: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<(PgPool, PgPool)> {
    let journal = connect_tool(settings, tool, shutdown).await?;
    let by = Instant::now() + TOOL_PATIENCE;
    let (url, setting) = (settings.read_database_url()?, settings.read_database_setting());
    let read = reach(settings, url, setting, tool, by, shutdown).await?;
    fits_by(by, async || read_side_fits(&read).await).await?;
    Ok((journal, read))
}

async fn reach(
    settings: &Settings,
    url: &Secret,
    setting: &'static str,
    tool: &str,
    by: Instant,
    shutdown: &CancellationToken,
) -> anyhow::Result<PgPool> {
    let name = format!("wallex-{tool}");
    let options = database::connect_options(url, &name, setting)?;
    loop {
        let attempt = tokio::select! {
            () = shutdown.cancelled() => bail!("stopped while waiting for PostgreSQL ({setting})"),
            attempt = tokio::time::timeout(TOOL_ATTEMPT, options.connect()) => attempt,
        };
        let (cause, is_lasting) = match attempt {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                break;
            }
            Ok(Err(error)) => (database::cause(&error), database::is_lasting(&error)),
            Err(_) => (format!("no answer within {} s", TOOL_ATTEMPT.as_secs()), false),
        };
        if is_lasting || Instant::now() + SCHEMA_RETRY >= by {
            let server = database::address(&options);
            let message = format!("PostgreSQL at {server} ({setting}) cannot be used: {cause}");
            let ailment = Some(Ailment::DatabaseUnreachable);
            return Err(Ailing { ailment, message }.into());
        }
        tokio::time::sleep(SCHEMA_RETRY).await;
    }
    let check = Health::new().check("database");
    let connections = settings.database_max_connections;
    Ok(database::connect(url, connections, &name, setting, &check, shutdown).await?)
}

async fn fits_by(by: Instant, fits: impl AsyncFn() -> Result<(), Misfit>) -> anyhow::Result<()> {
    loop {
        match fits().await {
            Ok(()) => return Ok(()),
            Err(Misfit::Never(error)) => return Err(error),
            Err(Misfit::NotYet(why)) if Instant::now() >= by => return Err(why.into()),
            Err(Misfit::NotYet(_)) => tokio::time::sleep(SCHEMA_RETRY).await,
        }
    }
}

/// The read side's database: the journal's own pool, unless it is a separate database.
async fn connect_read_side(
    settings: &Settings,
    role: &str,
    journal: &PgPool,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<PgPool> {
    if settings.read_database_url.is_none() {
        return Ok(journal.clone());
    }
    let check = health.check("read_database");
    let setting = settings.read_database_setting();
    let pool = database::connect(
        settings.read_database_url()?,
        settings.database_max_connections,
        &format!("wallex-{role}"),
        setting,
        &check,
        shutdown,
    )
    .await?;
    database::show_pool("read", &pool);
    let watched = Watched::Connection(pool.clone());
    tokio::spawn(watch(watched, setting, Some(check), shutdown.clone()));
    Ok(pool)
}

/// Why a database does not fit this role.
enum Misfit {
    /// `wallex migrate` is about to run or must run, or the server is in trouble: waiting helps.
    NotYet(Ailing),
    /// Waiting does not help.
    Never(anyhow::Error),
}

impl Misfit {
    fn not_yet(ailment: impl Into<Option<Ailment>>, error: &impl ToString) -> Self {
        Self::NotYet(Ailing {
            ailment: ailment.into(),
            message: error.to_string(),
        })
    }
}

async fn journal_fits(journal: &PgPool, ours: &PlatformId) -> Result<(), Misfit> {
    schema::check(journal).await?;
    match platform_id::check(journal, ours).await {
        Ok(()) => Ok(()),
        Err(error @ PlatformIdError::BelongsToAnother { .. }) => Err(Misfit::Never(error.into())),
        // The first migration is about to write it.
        Err(error @ PlatformIdError::Unclaimed) => Err(Misfit::not_yet(None, &error)),
        Err(PlatformIdError::Database(error)) => Err(error.into()),
    }
}

async fn read_side_fits(read: &PgPool) -> Result<(), Misfit> {
    let mut read = read.acquire().await?;
    Ok(wallex_projections::schema::check(&mut read).await?)
}

impl From<sqlx::Error> for Misfit {
    fn from(error: sqlx::Error) -> Self {
        Self::not_yet(Ailment::DatabaseUnreachable, &error)
    }
}

impl From<SchemaError> for Misfit {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::TooNew { .. } => Self::Never(error.into()),
            SchemaError::Missing { .. } | SchemaError::TooOld { .. } => {
                Self::not_yet(Ailment::SchemaMissing, &error)
            }
            SchemaError::Migrate { .. } => Self::not_yet(None, &error),
            SchemaError::Database(error) => error.into(),
        }
    }
}

/// Waits until the database fits, and logs what it waits for once per reason.
async fn wait_for(
    fits: impl AsyncFn() -> Result<(), Misfit>,
    check: &Check,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut said = None;
    loop {
        match fits().await {
            Ok(()) => {
                if said.is_some() {
                    tracing::info!("the database fits");
                }
                return Ok(());
            }
            Err(Misfit::Never(error)) => return Err(error),
            Err(Misfit::NotYet(why)) => {
                check.set_ailing(why.ailment, &*why.message);
                if said.as_ref() != Some(&why) {
                    tracing::warn!("waiting: {why}");
                    said = Some(why);
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => match said {
                Some(why) => return Err(anyhow::Error::new(why).context("shut down while waiting for the schema")),
                None => bail!("shut down while waiting for the schema"),
            },
            () = tokio::time::sleep(SCHEMA_RETRY) => {}
        }
    }
}

/// What is monitored while the role runs.
enum Watched {
    /// The journal's database and its schema.
    Journal(PgPool),
    /// The schemas of the projections; another watch monitors the connection.
    ReadSide(PgPool),
    /// Only a database's connection.
    Connection(PgPool),
}

impl Watched {
    async fn fits(&self) -> Result<(), Misfit> {
        match self {
            Self::Journal(pool) => schema::check(pool).await.map_err(Misfit::from),
            Self::ReadSide(pool) => read_side_fits(pool).await,
            Self::Connection(pool) => match sqlx::query("SELECT 1").execute(pool).await {
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// Readiness follows the database: a role that cannot reach it, or whose schema is gone, should get no requests. A schema newer
/// than this build does not matter: running processes continue until they are replaced. Without a check, problems are only
/// logged.
async fn watch(watched: Watched, setting: &'static str, check: Option<Check>, shutdown: CancellationToken) {
    let mut said: Option<Instant> = None;
    let set_unready = |ailment, why: String| {
        if let Some(check) = &check {
            check.set_ailing(ailment, why);
        }
    };
    loop {
        match tokio::time::timeout(Duration::from_secs(3), watched.fits()).await {
            Ok(Ok(()) | Err(Misfit::Never(_))) => {
                if let Some(check) = &check {
                    check.set_ready();
                }
                if said.take().is_some() {
                    tracing::info!("the database fits");
                }
            }
            Ok(Err(Misfit::NotYet(why))) if why.ailment == Some(Ailment::SchemaMissing) => {
                // Repeated, so that it is visible in the last log lines.
                if said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
                    tracing::warn!("waiting: {why}");
                    said = Some(Instant::now());
                }
                set_unready(why.ailment, why.message);
            }
            // The state of the schemas is then unknown.
            Ok(Err(Misfit::NotYet(_))) | Err(_) if matches!(watched, Watched::ReadSide(_)) => {}
            Ok(Err(Misfit::NotYet(why))) => set_unready(why.ailment, format!("{setting}: {why}")),
            Err(_) => {
                let why = format!("{setting}: no answer within 3 s");
                set_unready(Some(Ailment::DatabaseUnreachable), why);
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
}

/// Options for the connections that writers own.
pub(crate) fn writer_options(settings: &Settings) -> anyhow::Result<sqlx::postgres::PgConnectOptions> {
    database::connect_options(settings.database_url()?, "wallex-writer", "database_url")
        .context("options of the journal's writers")
}
