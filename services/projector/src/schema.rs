//! The tables of the projections: migrations embedded in the binary, and the check that a database fits.
//! Each projection has a schema of its own, and in it the list of its migrations.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

/// The migrations by schema (tests key their database templates by them).
pub static MIGRATIONS: [(&str, Migrator); 2] = [
    ("ledger", sqlx::migrate!("./migrations/ledger")),
    ("read_model", sqlx::migrate!("./migrations/read_model")),
];

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("migrating the schema {schema} failed: {source}")]
    Migrate {
        schema: &'static str,
        #[source]
        source: MigrateError,
    },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("SchemaMissing: there is no schema {schema}, which the journal fills: run `wallex migrate`")]
    Missing { schema: &'static str },
    #[error("the schema {schema} is at version {found}, this build needs {needed}: run `wallex migrate`")]
    TooOld {
        schema: &'static str,
        found: i64,
        needed: i64,
    },
    #[error(
        "the schema {schema} tolerates builds from schema version {compatible_from} on, this build knows {known}: \
         upgrade this role"
    )]
    TooNew {
        schema: &'static str,
        compatible_from: i64,
        known: i64,
    },
}

/// Creates or upgrades both schemas in the read side's database. Safe to run at any time, more than once,
/// and from several places: sqlx takes an advisory lock. An older build within the compatible range changes nothing.
pub async fn migrate(read: &mut PgConnection) -> Result<(), SchemaError> {
    for (schema, migrations) in &MIGRATIONS {
        let mut migrator = Migrator::with_migrations(migrations.iter().cloned().collect());
        migrator.create_schema(*schema);
        migrator.dangerous_set_table_name(format!("{schema}._migrations"));
        // A newer build has been here; `check` says whether that is fine.
        migrator.set_ignore_missing(true);
        migrator
            .run(&mut *read)
            .await
            .map_err(|source| SchemaError::Migrate { schema, source })?;
    }
    check(read).await
}

/// Makes sure that the cursors of partitions 0 .. count exist, which a new partition needs before it takes wallets.
pub async fn add_cursors(read: &mut PgConnection, count: i32) -> Result<(), sqlx::Error> {
    for (schema, _) in &MIGRATIONS {
        let insert = crate::cursor::insert_statement(schema);
        sqlx::query(AssertSqlSafe(insert))
            .bind((0..count).collect::<Vec<i32>>())
            .execute(&mut *read)
            .await?;
    }
    Ok(())
}

/// Whether this build may work on the schemas it finds.
pub async fn check(read: &mut PgConnection) -> Result<(), SchemaError> {
    for (schema, migrations) in &MIGRATIONS {
        let known = migrations
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or(0);
        check_schema(&mut *read, schema, known).await?;
    }
    Ok(())
}

async fn check_schema(
    read: impl PgExecutor<'_>,
    schema: &'static str,
    known: i64,
) -> Result<(), SchemaError> {
    let statement = format!(
        "SELECT version::bigint, compatible_from::bigint FROM {schema}.compatibility ORDER BY version DESC LIMIT 1"
    );
    let found: Result<(i64, i64), sqlx::Error> =
        sqlx::query_as(AssertSqlSafe(statement)).fetch_one(read).await;
    match found {
        Ok((found, _)) if found < known => Err(SchemaError::TooOld {
            schema,
            found,
            needed: known,
        }),
        Ok((_, compatible_from)) if compatible_from > known => Err(SchemaError::TooNew {
            schema,
            compatible_from,
            known,
        }),
        Ok(_) => Ok(()),
        // undefined_table, invalid_schema_name: nobody has migrated yet.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "3F000")) => {
            Err(SchemaError::Missing { schema })
        }
        Err(error) => Err(error.into()),
    }
}
