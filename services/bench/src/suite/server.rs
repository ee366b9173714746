//! The PostgreSQL server under the load: its databases, processes and counters.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};

use crate::lag::{self, NAME};
use crate::suite::processes;

/// As the roles name their sessions: `wallex-writer`, `wallex-publisher`, …
const ROLES: &str = "wallex-";
pub(crate) const WRITER: &str = "PostgreSQL: writer";
pub(crate) const WAL_WRITER: &str = "PostgreSQL: WAL writer";
pub(crate) const CHECKPOINTER: &str = "PostgreSQL: checkpointer";

/// How long to try to drop a database. Only a superuser may end an autovacuum worker in it, which ends soon by itself.
const DROP_WITHIN: Duration = Duration::from_secs(30);
const DROP_PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Server(PgPool);

/// A session of the server.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Session {
    pid: i32,
    application_name: String,
    backend_type: String,
    database: String,
    /// Empty for a local one.
    pub(crate) address: String,
}

const SESSIONS: &str = "SELECT pid, coalesce(application_name, '') AS application_name, \
       coalesce(backend_type, '') AS backend_type, coalesce(datname, '') AS database, \
       coalesce(host(client_addr), '') AS address FROM pg_stat_activity";

/// The write-ahead log so far.
#[derive(Debug, Clone, Copy, Default, sqlx::FromRow)]
pub(crate) struct Wal {
    /// Bytes.
    pub(crate) position: i64,
    pub(crate) full_pages: i64,
    pub(crate) fsyncs: i64,
}

const WAL: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS position, wal_fpi AS full_pages, \
       wal_sync AS fsyncs FROM pg_stat_wal";
/// From PostgreSQL 18 on.
const WAL_18: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS position, wal_fpi AS full_pages, \
       (SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal') AS fsyncs FROM pg_stat_wal";

/// Bytes of tables (with TOAST) and of indexes, by schema.
const SIZES: &str = "SELECT schema.nspname::text, sum(pg_table_size(class.oid))::bigint, \
       sum(pg_indexes_size(class.oid))::bigint \
     FROM pg_class class JOIN pg_namespace schema ON schema.oid = class.relnamespace \
     WHERE class.relkind = 'r' AND schema.nspname NOT LIKE 'pg\\_%' AND schema.nspname <> 'information_schema' \
     GROUP BY 1";

/// Table and index bytes by schema.
pub(crate) type Sizes = BTreeMap<String, (i64, i64)>;

impl Server {
    pub(crate) async fn connect(flag: &str, url: &str) -> anyhow::Result<Self> {
        Ok(Self(lag::connect(flag, url).await?))
    }

    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let version = sqlx::query_scalar("SELECT split_part(current_setting('server_version'), ' ', 1)");
        Ok(version.fetch_one(&self.0).await?)
    }

    /// Creates a database; returns its URL.
    pub(crate) async fn create(&self, name: &str) -> anyhow::Result<String> {
        let create = format!(r#"CREATE DATABASE "{name}" TEMPLATE template0"#);
        self.execute(create)
            .await
            .with_context(|| format!("the database {name} cannot be created: use a role with CREATEDB"))?;
        let options = PgConnectOptions::clone(&self.0.connect_options());
        let options = options.database(name).application_name("");
        Ok(options.to_url_lossy().to_string())
    }

    pub(crate) async fn drop(&self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + DROP_WITHIN;
        loop {
            let drop = format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#);
            match self.execute(drop).await {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(DROP_PAUSE).await,
                dropped => return dropped,
            }
        }
    }

    /// Writes out what earlier load left, as far as this role may: otherwise it is written during the measurement.
    pub(crate) async fn settle(&self) {
        // Only some roles may. The warm-up takes what this causes: full pages in the write-ahead log.
        let _ = self.execute("CHECKPOINT".to_owned()).await;
    }

    async fn execute(&self, statement: String) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.0).await?;
        Ok(())
    }

    pub(crate) async fn sessions(&self) -> anyhow::Result<Vec<Session>> {
        Ok(sqlx::query_as(SESSIONS).fetch_all(&self.0).await?)
    }

    pub(crate) async fn wal(&self) -> anyhow::Result<Wal> {
        let is_new: bool = sqlx::query_scalar("SELECT current_setting('server_version_num')::int >= 180000")
            .fetch_one(&self.0)
            .await?;
        let wal = sqlx::query_as(if is_new { WAL_18 } else { WAL });
        Ok(wal.fetch_one(&self.0).await?)
    }
}

/// Of the database that the pool leads to.
pub(crate) async fn sizes(database: &PgPool) -> anyhow::Result<Sizes> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(SIZES).fetch_all(database).await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(schema, table, index)| (schema, (table, index)))
        .collect())
}

/// The components of the server's processes, if they run on this machine. `databases` are those under load; `roles` names
/// the process at a client's address, where the session's name does not say enough.
pub(crate) fn components(
    sessions: &[Session],
    databases: &[String],
    roles: &HashMap<String, String>,
) -> HashMap<u32, String> {
    let here = |session: &&Session| u32::try_from(session.pid).is_ok_and(processes::is_postgres);
    sessions
        .iter()
        .filter(here)
        .filter_map(|session| {
            let pid = u32::try_from(session.pid).ok()?;
            Some((pid, component(session, databases, roles)?))
        })
        .collect()
}

fn component(session: &Session, databases: &[String], roles: &HashMap<String, String>) -> Option<String> {
    match session.backend_type.as_str() {
        "walwriter" => Some(WAL_WRITER.to_owned()),
        "checkpointer" => Some(CHECKPOINTER.to_owned()),
        "background writer" => Some("PostgreSQL: background writer".to_owned()),
        "autovacuum worker" | "autovacuum launcher" => Some("PostgreSQL: autovacuum".to_owned()),
        "client backend" if databases.contains(&session.database) => {
            let role = session.application_name.strip_prefix(ROLES)?;
            let role = match roles.get(&session.address) {
                Some(known) if role == "projector" => known,
                _ => role,
            };
            Some(format!("PostgreSQL: {role}"))
        }
        _ => None,
    }
}

impl Session {
    /// Whether a role of the platform opened it, on one of these databases.
    pub(crate) fn is_of_role(&self, databases: &[String]) -> bool {
        databases.contains(&self.database)
            && self.application_name.starts_with(ROLES)
            && self.application_name != NAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(application_name: &str, backend_type: &str, database: &str, address: &str) -> Session {
        Session {
            pid: 1,
            application_name: application_name.to_owned(),
            backend_type: backend_type.to_owned(),
            database: database.to_owned(),
            address: address.to_owned(),
        }
    }

    #[test]
    fn a_session_belongs_to_the_role_that_opened_it() {
        let databases = ["demo".to_owned()];
        let roles = HashMap::from([("10.0.0.7".to_owned(), "projector of the ledger".to_owned())]);
        let of = |name: &str, kind: &str, database: &str, address: &str| {
            component(&session(name, kind, database, address), &databases, &roles)
        };
        assert_eq!(
            of("wallex-writer", "client backend", "demo", "10.0.0.5").as_deref(),
            Some(WRITER)
        );
        assert_eq!(
            of("wallex-projector", "client backend", "demo", "10.0.0.7").as_deref(),
            Some("PostgreSQL: projector of the ledger")
        );
        assert_eq!(of("", "walwriter", "", "").as_deref(), Some(WAL_WRITER));
        // Another platform on the same server, and somebody's psql.
        assert_eq!(of("wallex-writer", "client backend", "other", "10.0.0.5"), None);
        assert_eq!(of("psql", "client backend", "demo", ""), None);
    }
}
