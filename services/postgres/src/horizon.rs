//! What keeps vacuum from removing dead rows. Hot rows are slow while it lasts.

use sqlx::PgConnection;

/// What keeps vacuum from removing rows of this database, by kind of holder, in seconds and in transactions. A slot has
/// no age in seconds. Limited to what this role may see: other roles' sessions need `pg_monitor`.
const HOLDERS: &str = "SELECT 'session' AS kind, \
       coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS seconds, \
       coalesce(max(greatest(age(backend_xmin), age(backend_xid))), 0)::float8 AS transactions \
     FROM pg_stat_activity \
     WHERE pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) \
       AND (datid IS NULL OR datname = current_database()) AND backend_type <> 'autovacuum worker' \
     UNION ALL \
     SELECT 'prepared', coalesce(max(extract(epoch FROM clock_timestamp() - prepared)), 0)::float8, \
       coalesce(max(age(transaction)), 0)::float8 \
     FROM pg_prepared_xacts WHERE database = current_database() \
     UNION ALL \
     SELECT 'slot', NULL, coalesce(max(age(xmin)), 0)::float8 FROM pg_replication_slots";

/// One kind of holder, with its oldest.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Holder {
    /// `session`, `prepared` or `slot`.
    pub kind: String,
    pub seconds: Option<f64>,
    pub transactions: f64,
}

/// One row per kind, whether or not anything holds rows.
pub async fn holders(db: &mut PgConnection) -> sqlx::Result<Vec<Holder>> {
    sqlx::query_as(HOLDERS).fetch_all(db).await
}
