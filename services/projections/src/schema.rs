//! The tables of the projections: each has a schema of its own.

use sqlx::{AssertSqlSafe, PgConnection};
use wallex_postgres::schema::{Schema, SchemaError};

use crate::registry::Name;

pub static LEDGER: Schema = Schema {
    name: Name::Ledger.schema(),
    title: "the schema ledger",
    migrations: sqlx::migrate!("./migrations/ledger"),
};

pub static READ_MODEL: Schema = Schema {
    name: Name::ReadModel.schema(),
    title: "the schema read_model",
    migrations: sqlx::migrate!("./migrations/read_model"),
};

pub static SCHEMAS: [&Schema; 2] = [&LEDGER, &READ_MODEL];

/// Creates or upgrades both schemas in the read side's database.
pub async fn migrate(read: &mut PgConnection) -> Result<(), SchemaError> {
    for schema in SCHEMAS {
        schema.migrate(&mut *read).await?;
    }
    check(read).await
}

/// Makes sure that the cursors of partitions 0 .. count exist, which a new partition needs before it takes wallets.
pub async fn add_cursors(read: &mut PgConnection, count: i32) -> Result<(), sqlx::Error> {
    for schema in SCHEMAS {
        let insert = crate::cursor::insert_statement(schema.name);
        sqlx::query(AssertSqlSafe(insert))
            .bind((0..count).collect::<Vec<i32>>())
            .execute(&mut *read)
            .await?;
    }
    Ok(())
}

/// Whether this build may work on the schemas it finds.
pub async fn check(read: &mut PgConnection) -> Result<(), SchemaError> {
    for schema in SCHEMAS {
        schema.check(&mut *read).await?;
    }
    Ok(())
}
