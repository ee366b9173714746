//! The projections' tables; each projection has its own schema.

use sqlx::{AssertSqlSafe, PgConnection};
use wallex_postgres::schema::{Schema, SchemaError};

use crate::cursor;
use crate::registry::Name;
pub use crate::registry::{LEDGER_SCHEMA as LEDGER, READ_MODEL_SCHEMA as READ_MODEL};

/// Those of all projections.
pub fn all() -> impl Iterator<Item = &'static Schema> {
    Name::ALL.into_iter().map(Name::schema)
}

/// Creates or upgrades the schemas in the read side's database.
pub async fn migrate(read: &mut PgConnection) -> Result<(), SchemaError> {
    for schema in all() {
        schema.migrate(&mut *read).await?;
    }
    check(read).await
}

/// Creates missing cursors of partitions 0 .. count. A new partition needs them before it takes wallets.
pub async fn add_cursors(read: &mut PgConnection, count: i32) -> sqlx::Result<()> {
    for schema in all() {
        let insert = cursor::insert_statement(schema.name);
        sqlx::query(AssertSqlSafe(insert))
            .bind((0..count).collect::<Vec<i32>>())
            .execute(&mut *read)
            .await?;
    }
    Ok(())
}

/// Whether this build may work on the schemas it finds.
pub async fn check(read: &mut PgConnection) -> Result<(), SchemaError> {
    for schema in all() {
        schema.check(&mut *read).await?;
    }
    Ok(())
}
