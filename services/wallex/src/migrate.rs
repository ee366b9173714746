//! Database chores: `wallex migrate` and `maintain`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use wallex_domain::Migrated;
use wallex_journal::history::{self, History};
use wallex_journal::maintain::{Retention, empty_expired_slots};
use wallex_journal::schema;
use wallex_runtime::health::Health;
use wallex_runtime::http::{self, Limits};
use wallex_runtime::{CancellationToken, Settings, database};

use crate::journal;

/// How long maintenance waits for batches that use a slot. Commands wait behind it for at most as long.
const SLOT_LOCK_TIMEOUT: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Minimum number of journal partitions; it can grow but never shrink
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=256))]
    pub(crate) partitions: i32,
    /// Take over a database that belongs to another platform. Stop the other one first
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Minimum number of events that the platform has written: a database with fewer is refused before anything is changed
    #[arg(long, env = "WALLEX_EXPECT_EVENTS", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) expect_events: i64,
    /// The journal that they are in, as `journal_id` in the last line of a migration names it: another one is refused too
    #[arg(long, env = "WALLEX_EXPECT_JOURNAL")]
    pub(crate) expect_journal: Option<i64>,
}

/// [`migrate`], but reports on `/health/ready` what it waits for.
pub(crate) async fn in_sight(
    settings: &Settings,
    args: &Args,
    shutdown: &CancellationToken,
) -> anyhow::Result<Migrated> {
    let health = Health::new();
    let migrating = migrate(settings, args, &health, shutdown);
    http::serve_during(settings.listen, migrating, &health, Limits::of(settings)).await
}

pub(crate) async fn migrate(
    settings: &Settings,
    args: &Args,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<Migrated> {
    let check = health.check("database");
    let pool = database::connect(
        settings.database_url()?,
        1,
        "wallex-migrate",
        "database_url",
        &check,
        shutdown,
    )
    .await?;
    // It answers: what comes now may take long and is no outage.
    check.set_unready("the schemas are being migrated");
    let mut db = pool.acquire().await?;
    let expected = History {
        journal: args.expect_journal,
        events: args.expect_events,
    };
    history::expect(&mut db, expected).await?;
    schema::migrate(&mut db, &settings.platform_id(), args.adopt).await?;
    let partitions = schema::add_partitions(&mut db, args.partitions).await?;
    if partitions > args.partitions {
        tracing::warn!(
            partitions,
            asked = args.partitions,
            "the journal keeps the partitions it has: they never shrink"
        );
    }
    let read = database::connect(
        settings.read_database_url()?,
        1,
        "wallex-migrate",
        settings.read_database_setting(),
        &check,
        shutdown,
    )
    .await?;
    check.set_unready("the schemas are being migrated");
    let mut read = read.acquire().await?;
    wallex_projections::schema::migrate(&mut read).await?;
    wallex_projections::schema::add_cursors(&mut read, partitions).await?;
    // Only now: every projection has a cursor for these partitions, so wallets may be placed in them.
    schema::open_partitions(&mut db).await?;
    let written = history::read(&mut db).await?.unwrap_or_default();
    let version = schema::SCHEMA.found(&mut *db).await?;
    let mut schemas = BTreeMap::from([(schema::SCHEMA.name.to_owned(), version)]);
    for schema in wallex_projections::schema::all() {
        schemas.insert(schema.name.to_owned(), schema.found(&mut *read).await?);
    }
    let migrated = Migrated {
        schemas,
        partitions,
        journal_id: written.journal.unwrap_or_default(),
        events: written.events,
    };
    tracing::info!(
        platform = %settings.platform_id(),
        partitions,
        events = migrated.events,
        journal_id = migrated.journal_id,
        schemas = ?migrated.schemas,
        "the database is ready"
    );
    Ok(migrated)
}

pub(crate) async fn maintain(settings: &Settings, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let pool = journal::connect_tool(settings, "maintain", shutdown).await?;
    let retention = Retention::new(settings.idempotency_retention());
    // Busy slots are retried; the next run is in an hour anyway.
    for attempt in 1.. {
        match empty_expired_slots(&pool, retention, SLOT_LOCK_TIMEOUT).await {
            Ok(emptied) => {
                tracing::info!(?emptied, "idempotency answers past their retention are gone");
                return Ok(());
            }
            Err(error) if attempt < 20 => {
                tracing::warn!(%error, attempt, "a slot is busy");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error).context("emptying expired idempotency answers"),
        }
    }
    Ok(())
}
