//! One platform, one journal: the database names the platform it belongs to, and every role refuses to work on another
//! platform's database.

use sqlx::{PgConnection, PgExecutor};
use wallex_domain::PlatformId;

#[derive(Debug, thiserror::Error)]
pub enum PlatformIdError {
    #[error(
        "this database belongs to platform {theirs}, but this is platform {ours}: point database_url at this \
         platform's own database, or take the other one's over with `wallex migrate --adopt`"
    )]
    BelongsToAnother { ours: PlatformId, theirs: PlatformId },
    #[error("this database names no platform yet: run `wallex migrate` first")]
    Unclaimed,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

async fn read(db: impl PgExecutor<'_>) -> sqlx::Result<Option<PlatformId>> {
    let row: Option<(String, String, String)> =
        sqlx::query_as("SELECT cluster, namespace, name FROM journal.platform")
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(cluster, namespace, name)| PlatformId {
        cluster,
        namespace,
        name,
    }))
}

/// The check that every role makes at startup.
pub async fn check(db: impl PgExecutor<'_>, ours: &PlatformId) -> Result<(), PlatformIdError> {
    match read(db).await? {
        None => Err(PlatformIdError::Unclaimed),
        Some(theirs) if theirs != *ours => Err(PlatformIdError::BelongsToAnother {
            ours: ours.clone(),
            theirs,
        }),
        Some(_) => Ok(()),
    }
}

/// Writes the platform's id into a new database. If the database has an id, checks it, or replaces it when `adopt` is
/// set. The time at which an id was first written stays: it identifies the journal.
pub async fn claim(db: &mut PgConnection, ours: &PlatformId, adopt: bool) -> Result<(), PlatformIdError> {
    let adopting = "ON CONFLICT (singleton) DO UPDATE SET cluster = EXCLUDED.cluster, \
                    namespace = EXCLUDED.namespace, name = EXCLUDED.name";
    let statement = format!(
        "INSERT INTO journal.platform (cluster, namespace, name) VALUES ($1, $2, $3) {}",
        if adopt {
            adopting
        } else {
            "ON CONFLICT (singleton) DO NOTHING"
        }
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(&ours.cluster)
        .bind(&ours.namespace)
        .bind(&ours.name)
        .execute(&mut *db)
        .await?;
    check(db, ours).await
}
