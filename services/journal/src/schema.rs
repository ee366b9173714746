//! The journal's tables: their migrations, embedded in the binary, and the check that a database fits.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{PgConnection, PgExecutor};

use crate::platform_id::{self, PlatformId, PlatformIdError};

/// The migrations and the bytes they are made of (tests key their database templates by them).
pub static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The schema version this build was made for.
pub fn version() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("migrating the journal failed: {0}")]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Platform(#[from] PlatformIdError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the journal's schema is at version {found}, this build needs {needed}: run `wallex migrate`")]
    TooOld { found: i64, needed: i64 },
    #[error(
        "the journal's schema tolerates builds from schema version {compatible_from} on, this build knows \
         {known}: upgrade this role"
    )]
    TooNew { compatible_from: i64, known: i64 },
}

/// Creates or upgrades the schema and writes the platform's id. Safe to run at any time and more than
/// once; an older build within the compatible range changes nothing.
pub async fn migrate(db: &mut PgConnection, platform: &PlatformId, adopt: bool) -> Result<(), SchemaError> {
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.create_schema("journal");
    migrator.dangerous_set_table_name("journal._migrations");
    // A newer build has been here: its migrations are unknown to this one. `check` says whether that is fine.
    migrator.set_ignore_missing(true);
    migrator.run(&mut *db).await?;
    platform_id::claim(db, platform, adopt).await?;
    check(db).await
}

/// Whether this build may work on the schema it finds.
pub async fn check(db: impl PgExecutor<'_>) -> Result<(), SchemaError> {
    let found: Result<(i64, i64), sqlx::Error> = sqlx::query_as(
        "SELECT version::bigint, compatible_from::bigint FROM journal.compatibility ORDER BY version DESC LIMIT 1",
    )
    .fetch_one(db)
    .await;
    let needed = version();
    match found {
        Ok((found, _)) if found < needed => Err(SchemaError::TooOld { found, needed }),
        Ok((_, compatible_from)) if compatible_from > needed => Err(SchemaError::TooNew {
            compatible_from,
            known: needed,
        }),
        Ok(_) => Ok(()),
        // undefined_table, invalid_schema_name: nobody has migrated yet.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "3F000")) => {
            Err(SchemaError::TooOld { found: 0, needed })
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that partitions 0 .. count exist. They take no wallets until [`open_partitions`]. Never
/// removes one; returns how many there are.
pub async fn add_partitions(db: &mut PgConnection, count: i32) -> Result<i32, sqlx::Error> {
    sqlx::query(
        "WITH added AS (
             INSERT INTO journal.partition (id, open) SELECT id, false FROM generate_series(0, $1 - 1) id
             ON CONFLICT (id) DO NOTHING RETURNING id)
         INSERT INTO journal.publication (partition) SELECT id FROM added",
    )
    .bind(count)
    .execute(&mut *db)
    .await?;
    sqlx::query_scalar("SELECT count(*)::int FROM journal.partition")
        .fetch_one(db)
        .await
}

/// Lets partitions take new wallets: called when their topic partitions and all cursors exist.
pub async fn open_partitions(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE journal.partition SET open = true WHERE NOT open")
        .execute(db)
        .await?;
    Ok(())
}
