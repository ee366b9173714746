//! A schema for each owner of tables: its migrations, embedded in the binary, and the check that a database fits.
//!
//! A schema has a list of its migrations (`_migrations`) and a table `compatibility`: for each version, the oldest
//! version whose build may work on it.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use crate::SqlState;

/// A schema as this build knows it.
pub struct Schema {
    pub name: &'static str,
    /// In messages: `the schema ledger`.
    pub title: &'static str,
    /// Includes the migrations' bytes: tests key their template databases by them.
    pub migrations: Migrator,
}

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("migrating {title} failed: {source}")]
    Migrate {
        title: &'static str,
        #[source]
        source: MigrateError,
    },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("SchemaMissing: there is no schema {schema}, which the journal fills: run `wallex migrate`")]
    Missing { schema: &'static str },
    #[error("{title} is at version {found}, this build needs {needed}: run `wallex migrate`")]
    TooOld {
        title: &'static str,
        found: i64,
        needed: i64,
    },
    #[error(
        "{title} tolerates builds from schema version {compatible_from} on, this build knows {known}: upgrade this role"
    )]
    TooNew {
        title: &'static str,
        compatible_from: i64,
        known: i64,
    },
}

impl Schema {
    /// The version this build was made for.
    pub fn version(&self) -> i64 {
        let versions = self.migrations.iter().map(|migration| migration.version);
        versions.max().unwrap_or(0)
    }

    /// Creates or upgrades the schema. Safe to run at any time, repeatedly and concurrently: sqlx takes an advisory
    /// lock. An older build within the compatible range changes nothing; [`Self::check`] says whether it is within.
    pub async fn migrate(&self, db: &mut PgConnection) -> Result<(), SchemaError> {
        let mut migrator = Migrator::with_migrations(self.migrations.iter().cloned().collect());
        migrator.create_schema(self.name);
        migrator.dangerous_set_table_name(format!("{}._migrations", self.name));
        // A newer build has been here; this one does not know its migrations.
        migrator.set_ignore_missing(true);
        migrator.run(db).await.map_err(|source| SchemaError::Migrate {
            title: self.title,
            source,
        })
    }

    /// Whether this build may work on the schema it finds.
    pub async fn check(&self, db: impl PgExecutor<'_>) -> Result<(), SchemaError> {
        let (schema, title, known) = (self.name, self.title, self.version());
        let statement = format!(
            "SELECT version::bigint, compatible_from::bigint FROM {schema}.compatibility ORDER BY version DESC LIMIT 1"
        );
        let found: Result<(i64, i64), sqlx::Error> =
            sqlx::query_as(AssertSqlSafe(statement)).fetch_one(db).await;
        match found {
            Ok((found, _)) if found < known => Err(SchemaError::TooOld {
                title,
                found,
                needed: known,
            }),
            Ok((_, compatible_from)) if compatible_from > known => Err(SchemaError::TooNew {
                title,
                compatible_from,
                known,
            }),
            Ok(_) => Ok(()),
            Err(error) if SqlState::of(&error).is_some_and(SqlState::is_unmigrated) => {
                Err(SchemaError::Missing { schema })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The schema's version in a database; newer than this build's where a newer build has been.
    pub async fn found(&self, db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
        let statement = format!("SELECT max(version)::bigint FROM {}.compatibility", self.name);
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(db).await
    }
}
