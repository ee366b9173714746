//! Redis as an accelerator: quick when it is there, and not missed when it is not.
//!
//! The invariant: no call waits longer than [`BUDGET`], none fails; trouble is `None`. What stands in Redis is never
//! the truth.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue};
use tokio::sync::Notify;

use crate::backoff::Backoff;
use crate::settings::Settings;

/// The most that a caller waits. PostgreSQL answers the same question sooner than a slower Redis would.
const BUDGET: Duration = Duration::from_millis(100);
/// How often a healthy connection is tried, and how long connecting may take.
const PING: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Redis, or the lack of it. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Accelerator {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    connection: Mutex<Option<MultiplexedConnection>>,
    lost: Notify,
}

impl Accelerator {
    /// Starts connecting in the background and returns at once. Without `redis_url`, or with one that can't be read
    /// (which is logged), it is an accelerator that never has anything. Call it inside the runtime.
    pub fn connect(settings: &Settings) -> Self {
        let Some(url) = &settings.redis_url else {
            return Self::none();
        };
        // The error may quote the URL, and the password is in it.
        let Ok(client) = Client::open(url.expose()) else {
            tracing::error!(
                setting = "redis_url",
                "not a Redis URL (expected for example redis://:password@host:6379/0), going on without Redis"
            );
            return Self::none();
        };
        let shared = Arc::new(Shared::default());
        tokio::spawn(keep_connected(client, Arc::downgrade(&shared)));
        Self { shared: Some(shared) }
    }

    /// An accelerator without Redis.
    pub fn none() -> Self {
        Self { shared: None }
    }

    /// Whether Redis answered lately.
    pub fn alive(&self) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.connection().is_some())
    }

    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.query::<Option<Vec<u8>>>(Cmd::new().arg("GET").arg(key))
            .await
            .flatten()
    }

    /// Sets `key` for `ttl`. `false`: it is not known to be set.
    pub async fn set_px(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.query::<()>(Cmd::new().arg("SET").arg(key).arg(value).arg("PX").arg(ttl))
            .await
            .is_some()
    }

    pub async fn delete(&self, key: &str) -> bool {
        self.query::<u64>(Cmd::new().arg("DEL").arg(key)).await.is_some()
    }

    /// Any command. `None`: Redis is away, too slow, or refuses it.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let shared = self.shared.as_ref()?;
        let mut connection = shared.connection()?;
        match tokio::time::timeout(BUDGET, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) if is_refusal(&error) => {
                tracing::debug!(code = error.code(), "Redis refused a command");
                None
            }
            // Others need not wait as well to find the same out: gone until the background task has it back.
            Ok(Err(_)) | Err(_) => {
                shared.lose();
                None
            }
        }
    }
}

impl Shared {
    fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, connection: Option<MultiplexedConnection>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn lose(&self) {
        self.set(None);
        self.lost.notify_one();
    }
}

/// The connection is fine, the command was not.
fn is_refusal(error: &redis::RedisError) -> bool {
    !error.is_unrecoverable_error() && !error.is_io_error() && !error.is_timeout()
}

/// Connects, watches, connects again, until the last [`Accelerator`] is gone.
async fn keep_connected(client: Client, shared: Weak<Shared>) {
    let server = client.get_connection_info().addr().to_string();
    let mut backoff = Backoff::for_server();
    let mut warned = false;
    while shared.strong_count() > 0 {
        match connect(&client).await {
            Ok(connection) => {
                let Some(strong) = shared.upgrade() else { return };
                strong.set(Some(connection.clone()));
                drop(strong);
                if std::mem::take(&mut warned) {
                    tracing::info!(server, setting = "redis_url", "Redis is back");
                }
                backoff.reset();
                watch(connection, &shared).await;
            }
            Err(cause) if !warned => {
                warned = true;
                tracing::warn!(
                    server,
                    setting = "redis_url",
                    cause,
                    "Redis cannot be reached, going on without it"
                );
            }
            Err(cause) => tracing::debug!(
                server,
                setting = "redis_url",
                cause,
                "Redis still cannot be reached"
            ),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(BUDGET));
    let mut connection = tokio::time::timeout(
        CONNECT_TIMEOUT,
        client.get_multiplexed_async_connection_with_config(&config),
    )
    .await
    .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
    .map_err(|error| error.to_string())?;
    ping(&mut connection).await.map(|()| connection)
}

async fn ping(connection: &mut MultiplexedConnection) -> Result<(), String> {
    match tokio::time::timeout(
        CONNECT_TIMEOUT,
        Cmd::new().arg("PING").query_async::<()>(connection),
    )
    .await
    {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

/// Returns when the connection is lost, to a caller or to a ping, or when nobody needs it any more.
async fn watch(mut connection: MultiplexedConnection, shared: &Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let lost = tokio::time::timeout(PING, strong.lost.notified()).await.is_ok();
        if lost || strong.connection().is_none() {
            return;
        }
        if ping(&mut connection).await.is_err() {
            strong.set(None);
            return;
        }
    }
}
