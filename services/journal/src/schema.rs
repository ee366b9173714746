//! The journal's tables: their migrations, and the check that a database fits.

use sqlx::{PgConnection, PgExecutor};
use wallex_domain::PlatformId;
use wallex_postgres::schema::{Schema, SchemaError};

use crate::platform_id::{self, PlatformIdError};

pub static SCHEMA: Schema = Schema {
    name: "journal",
    title: "the journal's schema",
    migrations: sqlx::migrate!("./migrations"),
};

/// Why the journal could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Platform(#[from] PlatformIdError),
}

/// Creates or upgrades the schema and writes the platform's id. Safe to run at any time and repeatedly.
pub async fn migrate(db: &mut PgConnection, platform: &PlatformId, adopt: bool) -> Result<(), MigrateError> {
    SCHEMA.migrate(&mut *db).await?;
    platform_id::claim(&mut *db, platform, adopt).await?;
    Ok(check(db).await?)
}

/// Whether this build may work on the schema it finds. A missing schema is at version 0: the journal is created first.
pub async fn check(db: impl PgExecutor<'_>) -> Result<(), SchemaError> {
    match SCHEMA.check(db).await {
        Err(SchemaError::Missing { .. }) => Err(SchemaError::TooOld {
            title: SCHEMA.title,
            found: 0,
            needed: SCHEMA.version(),
        }),
        checked => checked,
    }
}

/// Makes sure that partitions 0 .. count exist. They take no wallets until [`open_partitions`]. Never removes one;
/// returns how many exist.
pub async fn add_partitions(db: &mut PgConnection, count: i32) -> sqlx::Result<i32> {
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

/// Lets partitions take new wallets: call it once their topic partitions and all cursors exist.
pub async fn open_partitions(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("UPDATE journal.partition SET open = true WHERE NOT open")
        .execute(db)
        .await?;
    Ok(())
}
