//! Connections to PostgreSQL. Waits for a server that is away, with one clear log line per attempt; no line and no error
//! ever contains a password.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _};
use tokio_util::sync::CancellationToken;
use wallex_domain::Ailment;
use wallex_postgres::SqlState;

use crate::Secret;
use crate::backoff::{Backoff, Outage};
use crate::health::Check;
use crate::metrics;

/// A server that takes longer to greet counts as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A caller that gets no pool connection within this time fails; longer waits would only pile up requests.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool connection that has been idle for longer is tested before it is handed out.
const TRUSTED: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "{setting} is not a PostgreSQL URL: {reason}; expected for example postgres://user:password@host:5432/wallex"
    )]
    InvalidUrl { setting: &'static str, reason: String },
    #[error("shut down while waiting for PostgreSQL ({setting})")]
    ShutDown {
        setting: &'static str,
        /// Whether the server had been tried, without success.
        was_tried: bool,
    },
    #[error(
        "{setting}: {address} is a pooler that gives every transaction another session (PgBouncer with pool_mode = \
         transaction or statement). Prepared statements and locks of a session would go astray. Set pool_mode = session \
         for this database, or name PostgreSQL itself"
    )]
    TransactionPooling { setting: &'static str, address: String },
}

/// A pool on the database at `url`, after a first connection has succeeded. Retries forever, 0.2 s to 5 s apart,
/// until `shutdown`. `application_name` shows in `pg_stat_activity`: `wallex-<role>`. `setting` is the name used in
/// messages, `database_url` or `read_database_url`. `check` is unready during the wait, and is left that way.
pub async fn connect(
    url: &Secret,
    max_connections: u32,
    application_name: &str,
    setting: &'static str,
    check: &Check,
    shutdown: &CancellationToken,
) -> Result<PgPool, ConnectError> {
    let options = connect_options(url, application_name, setting)?;
    wait(&options, setting, check, shutdown).await?;
    if has_shared_sessions(&options).await {
        let address = address(&options);
        return Err(ConnectError::TransactionPooling { setting, address });
    }
    warn_of_weak_tls(&options, setting);
    Ok(pool(options, max_connections))
}

/// A pool on a database that may still be away, for callers that must not wait for it: they notice when they take a
/// connection.
pub fn connect_when_asked(
    url: &Secret,
    max_connections: u32,
    application_name: &str,
    setting: &'static str,
) -> Result<PgPool, ConnectError> {
    let options = connect_options(url, application_name, setting)?;
    warn_of_weak_tls(&options, setting);
    Ok(pool(options, max_connections))
}

fn pool(options: PgConnectOptions, max_connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // sqlx would test a connection every time: a round trip per request, though only idle connections can be dead.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED {
                    return is_usable(connection).await;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// Whether the server answers, outside a transaction. Whoever returns a connection takes care of that; this covers
/// oversights, and costs no more than a ping.
async fn is_usable(connection: &mut PgConnection) -> sqlx::Result<bool> {
    // Fails in an aborted transaction; in any other transaction, now() is earlier than the statement.
    let row = sqlx::raw_sql("SELECT now() = statement_timestamp()")
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// The pools that `/metrics` shows, by name.
static SHOWN: Mutex<Vec<(&str, PgPool)>> = Mutex::new(Vec::new());

/// Exposes in `/metrics` how much of a pool is in use, until the process ends. `name` is the label: `journal` or `read`;
/// the last pool of a name is the one shown.
pub fn show_pool(name: &'static str, pool: &PgPool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        metrics::gauges_when_asked(
            "wallex_database_connections",
            "Connections of the pool that are open, by whether they are in use. All of them in use for long: requests wait \
             for one up to 2 s and then fail; raise the pool's size or add replicas, within the server's max_connections.",
            &["pool", "state"],
            || {
                let of = |name: &str, state: &str, count: usize| {
                    (vec![name.to_owned(), state.to_owned()], count as f64)
                };
                shown(|name, pool| {
                    let idle = pool.num_idle();
                    let used = (pool.size() as usize).saturating_sub(idle);
                    vec![of(name, "in_use", used), of(name, "idle", idle)]
                })
            },
        );
        metrics::gauges_when_asked(
            "wallex_database_connections_max",
            "Most connections that the pool opens (setting database_max_connections).",
            &["pool"],
            || {
                shown(|name, pool| {
                    vec![(vec![name.to_owned()], f64::from(pool.options().get_max_connections()))]
                })
            },
        );
    });
    let mut pools = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|(shown, _)| *shown != name);
    pools.push((name, pool.clone()));
}

fn shown(series: impl Fn(&str, &PgPool) -> Vec<(Vec<String>, f64)>) -> Vec<(Vec<String>, f64)> {
    let pools = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    pools.iter().flat_map(|(name, pool)| series(name, pool)).collect()
}

/// Options for a dedicated connection, outside a pool.
pub fn connect_options(
    url: &Secret,
    application_name: &str,
    setting: &'static str,
) -> Result<PgConnectOptions, ConnectError> {
    let invalid = |reason: String| ConnectError::InvalidUrl { setting, reason };
    let text = url.expose();
    if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
        return Err(invalid("it does not start with postgres://".to_owned()));
    }
    if let Some(name) = unknown_parameter(text) {
        return Err(invalid(match name {
            Some(name) => format!("its parameter {name} is not supported; correct or remove it"),
            None => {
                "it has a parameter that is not supported; in a password, ? and # are written %3F and %23"
                    .to_owned()
            }
        }));
    }
    match PgConnectOptions::from_str(text) {
        Ok(options) => Ok(options.application_name(application_name)),
        // The error itself may quote a part of the URL, and that may be the password.
        Err(_) => Err(invalid("a part of it cannot be read".to_owned())),
    }
}

/// Parameters that sqlx reads from a URL. It ignores all others and logs their values.
const PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// libpq parameters that many URLs carry. Ignoring them is harmless: Wallex has its own time limits for connecting and
/// for unanswered connections. Parameters that protect a connection, or choose its server, are never ignored.
const HARMLESS: [&str; 8] = [
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
];

/// The first parameter that would be ignored: a misspelled `sslmode` would leave a connection unprotected. `Some(None)` if
/// its name may be part of a password and must not be shown.
fn unknown_parameter(url: &str) -> Option<Option<&str>> {
    let (before, _) = url.split_once('#').unwrap_or((url, ""));
    let (_, query) = before.split_once('?')?;
    let is_known = |name: &str| {
        let is_option = name.strip_prefix("options").is_some_and(|rest| {
            rest.is_empty() || rest.len() > 2 && rest.starts_with('[') && rest.ends_with(']')
        });
        PARAMETERS.contains(&name) || HARMLESS.contains(&name) || is_option
    };
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let name = parameters
        .map(|parameter| parameter.split_once('=').map_or(parameter, |(name, _)| name))
        .find(|name| !is_known(name))?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let can_be_shown = !query.contains('@') && !name.is_empty() && name.bytes().all(is_name);
    Some(can_be_shown.then_some(name))
}

/// Waits until the server accepts a connection, and closes it; retries like [`connect`].
pub async fn wait(
    options: &PgConnectOptions,
    setting: &'static str,
    check: &Check,
    shutdown: &CancellationToken,
) -> Result<(), ConnectError> {
    let mut backoff = Backoff::for_server();
    let outage = Outage::of("PostgreSQL", address(options), setting);
    let mut outage = outage.shown_by(check, Ailment::DatabaseUnreachable);
    let mut was_tried = false;
    loop {
        let attempt = tokio::select! {
            () = shutdown.cancelled() => return Err(ConnectError::ShutDown { setting, was_tried }),
            attempt = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()) => attempt,
        };
        match attempt {
            Ok(Ok(connection)) => {
                // Only polite: the server also notices a dropped connection.
                let _ = connection.close().await;
                outage.over();
                return Ok(());
            }
            Ok(Err(error)) => outage.failed(&cause(&error)),
            Err(_) => outage.failed(&format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
        }
        was_tried = true;
        if !backoff.wait(shutdown).await {
            return Err(ConnectError::ShutDown { setting, was_tried });
        }
    }
}

/// Whether two simultaneous connections share one server session: only a pooler in transaction or statement mode does
/// that. `false` also when it cannot be determined.
async fn has_shared_sessions(options: &PgConnectOptions) -> bool {
    /// With a pooler in session mode, the second connection may have to wait until the first one ends.
    const PATIENCE: Duration = Duration::from_secs(2);
    /// If others took the session in between, it is a different one.
    const TRIES: usize = 3;
    let compare = async {
        let (mut one, mut two) = (options.connect().await?, options.connect().await?);
        let mut shared = false;
        for _ in 0..TRIES {
            shared = shared || session(&mut one).await? == session(&mut two).await?;
        }
        // Only polite, as above.
        let _ = (one.close().await, two.close().await);
        Ok::<_, sqlx::Error>(shared)
    };
    matches!(tokio::time::timeout(PATIENCE, compare).await, Ok(Ok(true)))
}

/// The server process behind a connection. Not prepared: that is exactly what fails behind a pooler.
async fn session(connection: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// Logs one line if somebody on the network could read along or impersonate the server.
fn warn_of_weak_tls(options: &PgConnectOptions, setting: &'static str) {
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if is_verified || is_on_this_machine(options) {
        return;
    }
    tracing::warn!(
        setting,
        server = address(options),
        sslmode = ssl_mode(options),
        "the connection to PostgreSQL is not protected from others on the network: set sslmode=verify-full, and sslrootcert \
         if the authority is your own"
    );
}

/// As URLs and libpq write it.
pub fn ssl_mode(options: &PgConnectOptions) -> &'static str {
    match options.get_ssl_mode() {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

fn is_on_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// `host:port/database`: the part of a URL that may be shown.
pub fn address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// Whether retrying is futile until somebody changes the URL or the server: the user is refused, or the database or the
/// certificate does not exist. A role waits nevertheless, because somebody may be about to fix it.
pub fn is_lasting(error: &sqlx::Error) -> bool {
    match SqlState::of(error) {
        Some(code) => code.class() == "28" || code == SqlState::INVALID_CATALOG_NAME,
        None => matches!(error, sqlx::Error::Configuration(_) | sqlx::Error::Tls(_)),
    }
}

/// What went wrong, in terms that help whoever must fix it.
pub fn cause(error: &sqlx::Error) -> String {
    let meaning = match SqlState::of(error) {
        Some(SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION) => "user or password refused",
        Some(SqlState::INVALID_CATALOG_NAME) => "the database does not exist",
        Some(SqlState::CANNOT_CONNECT_NOW) => "the server is starting or stopping",
        Some(SqlState::TOO_MANY_CONNECTIONS) => "the server has no connection left (max_connections)",
        Some(SqlState::PROTOCOL_VIOLATION) if error.to_string().contains("extra_float_digits") => {
            "PgBouncer takes it with ignore_startup_parameters = extra_float_digits"
        }
        Some(_) | None => return error.to_string(),
    };
    format!("{meaning}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_would_be_ignored_is_named_without_its_value() {
        let refused = |query: &str| {
            let url = Secret::new(format!("postgres://u:p@h:5432/w{query}"));
            let refused = connect_options(&url, "test", "database_url").err()?;
            Some(refused.to_string())
        };
        for query in [
            "",
            "?",
            "?sslmode=disable&application_name=x",
            "?ssl-mode=require&options=-c%20jit=off&options[jit]=off",
            "?host=/run&port=1&user=u&password=a@b&dbname=d&hostaddr=::1",
            "?connect_timeout=10&keepalives_idle=30&tcp_user_timeout=9000",
            "?statement-cache-capacity=1&sslcert=a&ssl-cert=a&sslkey=a&ssl-key=a&sslrootcert=a&ssl-root-cert=a&ssl-ca=a",
        ] {
            assert_eq!(refused(query), None, "{query}");
        }
        for (query, named) in [
            ("?ssl_mode=hunter2", Some("ssl_mode")),
            ("?sslmode=disable&sslmod=hunter2", Some("sslmod")),
            ("?SSLMODE=hunter2", Some("SSLMODE")),
            ("?nonsense", Some("nonsense")),
            (
                "?sslmode=require&channel_binding=hunter2",
                Some("channel_binding"),
            ),
            ("?target_session_attrs=hunter2", Some("target_session_attrs")),
            ("?options[jit=hunter2", None),
            ("?hunter2@h", None),
            ("?hunter2&a@h", None),
            ("?=hunter2", None),
        ] {
            let refused = refused(query).unwrap_or_default();
            let expected = named.map_or("a parameter that is not supported".to_owned(), |name| {
                format!("parameter {name} is not supported")
            });
            assert!(refused.contains(&expected), "{query}: {refused}");
            assert!(
                refused.contains("database_url") && !refused.contains("hunter2"),
                "{refused}"
            );
        }
    }

    #[test]
    fn only_servers_elsewhere_need_tls() -> sqlx::Result<()> {
        for (url, here) in [
            ("postgres://u@localhost/w", true),
            ("postgres://u@127.0.0.1:6432/w", true),
            ("postgres://u@[::1]/w", true),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/w", true),
            ("postgres://u@10.0.0.7/w", false),
            ("postgres://u@localhost.example.com/w", false),
            ("postgres://u@db.postgres.svc/w?sslmode=require", false),
        ] {
            assert_eq!(
                is_on_this_machine(&PgConnectOptions::from_str(url)?),
                here,
                "{url}"
            );
        }
        Ok(())
    }
}
