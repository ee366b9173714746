//! Redis as an accelerator: fast when it is there, and not missed when it is not.
//!
//! The invariant: no call waits longer than [`BUDGET`], none fails; trouble is `None`. Data in Redis is never the source
//! of truth, and messages through it may be lost.

mod subscription;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, RedisResult, TlsCertificates,
};
use tokio::sync::Notify;

use crate::Secret;
use crate::backoff::Backoff;
use crate::settings::{Certificates, Settings};
pub use subscription::{Heard, Subscription};

/// The longest that a caller waits. PostgreSQL answers the same question sooner than a slower Redis would.
const BUDGET: Duration = Duration::from_millis(100);
/// How often a healthy connection is tested.
const PING: Duration = Duration::from_secs(1);
/// How long the background task, which nobody waits for, gives Redis to connect or to answer a ping.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a client could not be created. The library's own error may quote the URL, which contains the password.
#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error(
        "redis_url is not a Redis URL (expected for example redis://:password@host:6379/0, or rediss:// for TLS)"
    )]
    Url,
    #[error("redis_ca holds no certificate in PEM form")]
    Authorities,
}

/// With `rediss://`, the server's certificate and name are verified against `authorities`, or else the system's.
fn client(url: &Secret, authorities: Option<&str>) -> Result<Client, ClientError> {
    let client = Client::open(url.expose()).map_err(|_| ClientError::Url)?;
    let is_tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
    match authorities {
        // The library takes text without a certificate as "trust nobody", and then nothing can connect.
        Some(pem) if is_tls && !pem.contains("-----BEGIN CERTIFICATE-----") => Err(ClientError::Authorities),
        Some(pem) if is_tls => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.as_bytes().to_vec()),
            };
            Client::build_with_tls(url.expose(), certificates).map_err(|_| ClientError::Authorities)
        }
        Some(_) | None => Ok(client),
    }
}

/// Redis, or its absence. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Accelerator {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    client: Client,
    connection: Mutex<Option<Numbered>>,
    lost: Notify,
}

/// Leaves out the client, which contains the password.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// The number distinguishes a connection from its successor: a late failure of one must not close the other.
#[derive(Debug, Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

impl Accelerator {
    /// Starts connecting in the background and returns at once. Without `redis_url`, or if it is invalid (which is
    /// logged), it is an accelerator that never has anything. Call it inside the runtime.
    pub fn connect(settings: &Settings) -> Self {
        let Some(url) = &settings.redis_url else {
            return Self::none();
        };
        let client = match client(url, settings.redis_ca.as_ref().map(Certificates::pem)) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!("{error}, continuing without Redis");
                return Self::none();
            }
        };
        let shared = Arc::new(Shared {
            client: client.clone(),
            connection: Mutex::default(),
            lost: Notify::new(),
        });
        tokio::spawn(keep_connected(client, Arc::downgrade(&shared)));
        Self { shared: Some(shared) }
    }

    /// An accelerator without Redis.
    pub fn none() -> Self {
        Self { shared: None }
    }

    /// Whether Redis has answered recently.
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

    /// Sets `key` for `ttl`. `false`: it may not have been set.
    pub async fn set_px(&self, key: &str, value: &[u8], ttl: Duration) -> bool {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        self.query::<()>(Cmd::new().arg("SET").arg(key).arg(value).arg("PX").arg(ttl))
            .await
            .is_some()
    }

    pub async fn delete(&self, key: &str) -> bool {
        self.query::<u64>(Cmd::new().arg("DEL").arg(key)).await.is_some()
    }

    /// Runs a Lua script, which Redis executes atomically. The script's text is sent along, so that a flush of Redis'
    /// scripts does no harm.
    pub async fn eval<T: FromRedisValue>(
        &self,
        script: &str,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Option<T> {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(script).arg(keys.len()).arg(keys);
        for argument in arguments {
            command.arg(*argument);
        }
        self.query(&command).await
    }

    /// Sends `message` to the current subscribers of `channel`. `false`: it may not have been sent.
    pub async fn publish(&self, channel: &str, message: &[u8]) -> bool {
        self.query::<u64>(Cmd::new().arg("PUBLISH").arg(channel).arg(message))
            .await
            .is_some()
    }

    /// Listens to `channel` on a separate connection, which is restored whenever it is lost, until the subscription is
    /// dropped. Call it inside the runtime.
    pub fn subscribe(&self, channel: &str) -> Subscription {
        match &self.shared {
            None => Subscription::silent(),
            Some(shared) => Subscription::start(shared.client.clone(), channel.to_owned()),
        }
    }

    /// Any command. `None`: Redis is away, too slow, or refuses it.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        let shared = self.shared.as_ref()?;
        let Numbered {
            number,
            mut connection,
        } = shared.connection()?;
        match tokio::time::timeout(BUDGET, command.query_async(&mut connection)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) if is_refusal(&error) => {
                tracing::debug!(code = error.code(), "Redis refused a command");
                None
            }
            // Other callers need not wait to find out the same: mark it gone until the background task has it back.
            Ok(Err(_)) | Err(_) => {
                shared.lose(number);
                None
            }
        }
    }
}

impl Shared {
    fn connection(&self) -> Option<Numbered> {
        self.slot().clone()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Numbered>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes connection `number` out of use, unless that has already happened.
    fn lose(&self, number: u64) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|current| current.number == number) {
            *slot = None;
            self.lost.notify_one();
        }
    }
}

/// The connection is fine, but the command was not.
fn is_refusal(error: &redis::RedisError) -> bool {
    !error.is_unrecoverable_error() && !error.is_io_error() && !error.is_timeout()
}

/// Connects, watches, connects again, until the last [`Accelerator`] is gone.
async fn keep_connected(client: Client, shared: Weak<Shared>) {
    let server = client.get_connection_info().addr().to_string();
    let mut backoff = Backoff::for_server();
    let (mut warned, mut number) = (false, 0);
    while shared.strong_count() > 0 {
        match connect(&client).await {
            Ok(connection) => {
                let Some(strong) = shared.upgrade() else { return };
                number += 1;
                *strong.slot() = Some(Numbered {
                    number,
                    connection: connection.clone(),
                });
                drop(strong);
                if std::mem::take(&mut warned) {
                    tracing::info!(server, setting = "redis_url", "Redis is back");
                }
                backoff.reset();
                watch(Numbered { number, connection }, &shared).await;
            }
            Err(cause) if !warned => {
                warned = true;
                tracing::warn!(
                    server,
                    setting = "redis_url",
                    cause,
                    "Redis cannot be reached, continuing without it"
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

/// A connection that has answered a ping.
async fn connect(client: &Client) -> Result<MultiplexedConnection, String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let attempt = async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        ping(&mut connection).await.map(|()| connection)
    };
    match tokio::time::timeout(PATIENCE, attempt).await {
        Ok(connected) => connected.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ping(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    Cmd::new().arg("PING").query_async(connection).await
}

/// Returns when the connection is lost, to a caller or to a ping, or when nobody needs it any more.
async fn watch(mut watched: Numbered, shared: &Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        // Woken or not, check the slot: the notification may be an old one.
        let _ = tokio::time::timeout(PING, strong.lost.notified()).await;
        if strong.connection().is_none() {
            return;
        }
        if ping(&mut watched.connection).await.is_err() {
            strong.lose(watched.number);
            return;
        }
    }
}
