//! A PostgreSQL database per test: cloned in a few milliseconds from a template, which is migrated once by whichever
//! parallel test binary comes first.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use crate::{DEADLINE, eventually, unique_name};

/// A database that is dropped with this value, even if connections are still open.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
}

/// Name of the template for these migrations: any changed byte gives another name.
pub fn template_name<'a>(prefix: &str, migrations: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = DefaultHasher::new();
    for migration in migrations {
        migration.hash(&mut hasher);
    }
    format!("{prefix}_{:016x}", hasher.finish())
}

impl TestDatabase {
    /// A fresh copy of the template with that name (see [`template_name`]). If it does not exist, `migrate` gets the
    /// URL of an empty database and turns it into the template.
    pub async fn create(template: &str, migrate: impl AsyncFnOnce(&str) -> anyhow::Result<()>) -> Self {
        let mut server = connect(&crate::postgres()).await;
        ensure_template(&mut server, template, migrate).await;
        let name = unique_name("test");
        // The migrating connection may still be visible for a moment, and a template in use can't be copied.
        let copy = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#);
        eventually(DEADLINE, "a copy of the template", async || {
            match sqlx::query(AssertSqlSafe(copy.as_str()))
                .execute(&mut server)
                .await
            {
                Ok(_) => Some(()),
                Err(error) if is_in_use(&error) => None,
                Err(error) => panic!("{copy}: {error}"),
            }
        })
        .await;
        Self {
            url: url_of(&name),
            name,
        }
    }

    /// An empty database, for tests of the migrations themselves.
    pub async fn empty() -> Self {
        let name = unique_name("test");
        let mut server = connect(&crate::postgres()).await;
        run(
            &mut server,
            format!(r#"CREATE DATABASE "{name}" TEMPLATE template0"#),
        )
        .await;
        Self {
            url: url_of(&name),
            name,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A small pool on it.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(5)
            .connect(&self.url)
            .await
            .expect("the database takes connections")
    }

    /// One connection to it.
    pub async fn connection(&self) -> PgConnection {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop_it = format!(r#"DROP DATABASE IF EXISTS "{}" WITH (FORCE)"#, self.name);
        // The test's runtime can't be blocked from here, so the statement gets its own. Best effort: the server itself
        // goes away after the tests.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .ok()?;
            runtime.block_on(async {
                let mut server = PgConnection::connect(&crate::postgres()).await.ok()?;
                sqlx::query(AssertSqlSafe(drop_it))
                    .execute(&mut server)
                    .await
                    .ok()
            })
        })
        .join();
    }
}

/// Creates the template if it does not exist. It gets its name only when complete, so a failed or killed migration
/// leaves nothing that looks like one.
async fn ensure_template(
    server: &mut PgConnection,
    template: &str,
    migrate: impl AsyncFnOnce(&str) -> anyhow::Result<()>,
) {
    if exists(server, template).await {
        return;
    }
    lock(
        server,
        "SELECT pg_advisory_lock(hashtextextended($1, 0))",
        template,
    )
    .await;
    if !exists(server, template).await {
        let draft = format!("{template}_draft");
        run(
            server,
            format!(r#"DROP DATABASE IF EXISTS "{draft}" WITH (FORCE)"#),
        )
        .await;
        run(server, format!(r#"CREATE DATABASE "{draft}" TEMPLATE template0"#)).await;
        if let Err(error) = migrate(&url_of(&draft)).await {
            panic!("the template {template} cannot be migrated: {error:#}");
        }
        let rename = format!(r#"ALTER DATABASE "{draft}" RENAME TO "{template}""#);
        eventually(
            DEADLINE,
            "the migration's connections to be closed",
            async || match sqlx::query(AssertSqlSafe(rename.as_str()))
                .execute(&mut *server)
                .await
            {
                Ok(_) => Some(()),
                Err(error) if is_in_use(&error) => None,
                Err(error) => panic!("{rename}: {error}"),
            },
        )
        .await;
    }
    lock(
        server,
        "SELECT pg_advisory_unlock(hashtextextended($1, 0))",
        template,
    )
    .await;
}

async fn exists(server: &mut PgConnection, name: &str) -> bool {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_one(server)
        .await
        .expect("PostgreSQL answers");
    count > 0
}

async fn lock(server: &mut PgConnection, statement: &'static str, template: &str) {
    sqlx::query(statement)
        .bind(template)
        .execute(server)
        .await
        .expect("PostgreSQL gives the lock");
}

async fn run(server: &mut PgConnection, statement: String) {
    if let Err(error) = sqlx::query(AssertSqlSafe(statement.as_str()))
        .execute(server)
        .await
    {
        panic!("{statement}: {error}");
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .expect("WALLEX_TEST_DATABASE_URL leads to a PostgreSQL that runs")
}

/// SQLSTATE `object_in_use`.
fn is_in_use(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .as_deref()
        == Some("55006")
}

/// The tests' URL with another database.
fn url_of(database: &str) -> String {
    use sqlx::ConnectOptions as _;
    let options = PgConnectOptions::from_str(&crate::postgres()).expect("WALLEX_TEST_DATABASE_URL is a URL");
    options.database(database).to_url_lossy().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn migrate(url: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query("CREATE TABLE thing (id int PRIMARY KEY)")
            .execute(&mut connection)
            .await?;
        Ok(())
    }

    #[tokio::test]
    async fn copies_of_one_template_are_apart_and_dropped_at_the_end() {
        let template = unique_name("template");
        let (one, two) = tokio::join!(
            TestDatabase::create(&template, migrate),
            TestDatabase::create(&template, migrate)
        );
        let pool = one.pool().await;
        sqlx::query("INSERT INTO thing VALUES (1)")
            .execute(&pool)
            .await
            .unwrap();
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM thing")
            .fetch_one(&mut two.connection().await)
            .await
            .unwrap();
        assert_eq!(count, 0);

        let name = one.name().to_owned();
        drop(one);
        let mut server = connect(&crate::postgres()).await;
        assert!(!exists(&mut server, &name).await);
        assert!(exists(&mut server, two.name()).await);
        drop(two);
        run(&mut server, format!(r#"DROP DATABASE "{template}""#)).await;
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_no_template() {
        let template = unique_name("template");
        let local = tokio::task::LocalSet::new();
        let failed = local.spawn_local({
            let template = template.clone();
            async move {
                TestDatabase::create(&template, async |_: &str| anyhow::bail!("no such luck")).await;
            }
        });
        assert!(local.run_until(failed).await.is_err());
        let database = TestDatabase::create(&template, migrate).await;
        drop(database);
        run(
            &mut connect(&crate::postgres()).await,
            format!(r#"DROP DATABASE "{template}""#),
        )
        .await;
    }

    #[test]
    fn the_template_follows_the_migrations() {
        let name = |migration: &'static str| template_name("journal", [migration.as_bytes()]);
        assert_eq!(name("a"), name("a"));
        assert_ne!(name("a"), name("b"));
    }
}
