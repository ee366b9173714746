//! All settings of all roles, in one list. Precedence: flag, `WALLEX_` variable, file, default.
//!
//! The list below is the only place that names a setting: [`Settings`], [`Flags`] and [`REFERENCE`] are generated
//! from it. A role reads what it can't do without through a method that fails when it is missing
//! ([`Settings::database_url`]), so that no role requires what only another one needs.

mod certificates;
mod error;
mod in_force;
mod load;
mod reference;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use wallex_domain::{Currencies, PlatformId};

use crate::Secret;
pub use certificates::Certificates;
pub use error::SettingsError;
pub use in_force::{InForce, Origin};
pub use reference::reference;
pub use text::{Gather, KafkaProtocol, LogFormat, SaslMechanism};

/// One setting, as documentation and error messages present it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Key in the file; the flag is the same with dashes.
    pub name: &'static str,
    pub variable: &'static str,
    /// Empty: none.
    pub default: &'static str,
    /// An example value, where the default does not show one.
    pub example: &'static str,
    /// The kind of values it takes, in words.
    pub values: &'static str,
    pub help: &'static str,
}

impl Setting {
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident: $type:ty, $variable:literal, default $default:literal, example $example:literal;)+) => {
        /// The settings in force. Load them with [`Settings::load`].
        #[derive(Debug, Clone, Deserialize)]
        pub struct Settings {
            $($(#[doc = $help])+ #[serde(deserialize_with = "text::parsed")] pub $name: $type,)+
        }

        /// The same settings as flags; flatten it into a `clap` command. Values stay text here, so that a wrong one gets
        /// the same message wherever it came from.
        #[derive(Clone, Default, clap::Args)]
        pub struct Flags {
            /// TOML file with settings, keys as the flags but with underscores [WALLEX_CONFIG]
            #[arg(long, global = true, help_heading = "Settings", value_name = "FILE")]
            pub config: Option<PathBuf>,
            $(#[arg(long, global = true, help_heading = "Settings", hide_short_help = true,
                    help = text::flag_help(concat!($($help),+), $variable, $default))]
            pub $name: Option<String>,)+
        }

        impl Flags {
            /// The flags that were given, by name of their setting.
            fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
                [$((stringify!($name), self.$name.as_deref()),)+]
                    .into_iter()
                    .filter_map(|(name, value)| value.map(|value| (name, value)))
            }
        }

        impl Settings {
            /// Every value as TOML writes it, by name; secrets redacted. `None`: not set.
            fn shown(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$((stringify!($name), text::Value::shown(&self.$name)),)+]
            }
        }

        /// Every setting, in the order of the documentation.
        pub const REFERENCE: &[Setting] = &[
            $(Setting {
                name: stringify!($name), variable: $variable, default: $default, example: $example,
                values: <$type as text::Value>::WORDS, help: concat!($($help),+).trim_ascii(),
            },)+
        ];
    };
}

settings! {
    /// Uid of the cluster's kube-system namespace; first part of the platform's id.
    cluster: String, "WALLEX_CLUSTER", default "local", example "";
    /// Namespace of the platform; second part of its id.
    namespace: String, "WALLEX_NAMESPACE", default "default", example "";
    /// Name of the platform; third part of its id, prefix of its consumer groups.
    platform: String, "WALLEX_PLATFORM", default "wallex", example "";
    /// Name of this process among its replicas: the pod's name. Unset: host name and process id.
    instance: String, "WALLEX_INSTANCE", default "", example "demo-command-7d9f-x2x4z";
    /// Address that the API, /health/live, /health/ready, /health/kafka and /metrics are served on.
    listen: SocketAddr, "WALLEX_LISTEN", default "0.0.0.0:8080", example "";
    /// Most client connections open at once. A further one replaces the connection that has been idle longest; a few
    /// more are reserved for probes. Lower if the limit of open files (`ulimit -n`) requires it.
    http_max_connections: usize, "WALLEX_HTTP_MAX_CONNECTIONS", default "4096", example "";
    /// MiB of memory for request bodies that are being received, and the same again for answers that clients have not
    /// read yet. Requests beyond that get a 503.
    http_memory_mib: usize, "WALLEX_HTTP_MEMORY_MIB", default "32", example "";
    /// URL of the PostgreSQL database that holds the journal.
    database_url: Option<Secret>, "WALLEX_DATABASE_URL", default "", example "postgres://user:password@host:5432/wallex";
    /// Most connections to PostgreSQL in each pool of this process. Roles that serve reads have a pool for them beside
    /// that for everything else.
    database_max_connections: u32, "WALLEX_DATABASE_MAX_CONNECTIONS", default "8", example "";
    /// URL of the database of the read side. Unset: the same as the journal's.
    read_database_url: Option<Secret>, "WALLEX_READ_DATABASE_URL", default "", example "postgres://user:password@host:5432/wallex_read";
    /// Kafka brokers to connect to first, separated by commas.
    kafka_bootstrap_servers: Option<String>, "WALLEX_KAFKA_BOOTSTRAP_SERVERS", default "", example "kafka-0:9092,kafka-1:9092";
    /// Security protocol: plain text, TLS (ssl), or either with a user name and password (sasl_).
    kafka_security_protocol: KafkaProtocol, "WALLEX_KAFKA_SECURITY_PROTOCOL", default "plaintext", example "sasl_ssl";
    /// CA certificates that the brokers' certificates are verified against. Unset: those of the system.
    kafka_ca: Option<Certificates>, "WALLEX_KAFKA_CA", default "", example "/etc/wallex/kafka-ca.crt";
    /// Client certificate for the brokers, as PEM. Unset: none.
    kafka_certificate: Option<String>, "WALLEX_KAFKA_CERTIFICATE", default "", example "-----BEGIN CERTIFICATE-----…";
    /// Private key of kafka_certificate, as PEM.
    kafka_certificate_key: Option<Secret>, "WALLEX_KAFKA_CERTIFICATE_KEY", default "", example "-----BEGIN PRIVATE KEY-----…";
    /// SASL mechanism used with the brokers.
    kafka_sasl_mechanism: SaslMechanism, "WALLEX_KAFKA_SASL_MECHANISM", default "SCRAM-SHA-512", example "";
    /// User name for the brokers.
    kafka_sasl_username: Option<String>, "WALLEX_KAFKA_SASL_USERNAME", default "", example "wallex";
    /// Password of kafka_sasl_username.
    kafka_sasl_password: Option<Secret>, "WALLEX_KAFKA_SASL_PASSWORD", default "", example "";
    /// Topic that the publisher copies the journal to.
    kafka_events_topic: String, "WALLEX_KAFKA_EVENTS_TOPIC", default "wallet-events", example "";
    /// Topic that receives a copy of each event that had to be parked.
    kafka_dead_letters_topic: String, "WALLEX_KAFKA_DEAD_LETTERS_TOPIC", default "wallet-events-dlq", example "";
    /// URL of Redis; rediss:// for TLS. Unset: work without it, a little slower.
    redis_url: Option<Secret>, "WALLEX_REDIS_URL", default "", example "rediss://:password@host:6380/0";
    /// CA certificates that Redis is verified against with rediss://. Unset: those of the system.
    redis_ca: Option<Certificates>, "WALLEX_REDIS_CA", default "", example "/etc/wallex/redis-ca.crt";
    /// What to log: a level, optionally followed by levels of single modules (tracing's EnvFilter); with modules alone,
    /// everything else stays at info. The module of request lines is called request; those of slow and failed requests
    /// are logged at warn. `wallex log-level` changes it while a role runs.
    log: String, "WALLEX_LOG", default "info,request=warn", example "info";
    /// Format of log lines: text or json.
    log_format: LogFormat, "WALLEX_LOG_FORMAT", default "text", example "json";
    /// Address of an OpenTelemetry collector that receives spans by OTLP over HTTP; /v1/traces is appended. Unset: no
    /// tracing.
    otlp_endpoint: Option<String>, "WALLEX_OTLP_ENDPOINT", default "", example "http://otel-collector.monitoring:4318";
    /// Share of requests without a traceparent that are traced. A request with a traceparent is traced if its flag says
    /// so.
    trace_sample_ratio: f64, "WALLEX_TRACE_SAMPLE_RATIO", default "0.01", example "";
    /// Seconds that requests and batches in flight have to finish after SIGTERM.
    shutdown_seconds: u64, "WALLEX_SHUTDOWN_SECONDS", default "25", example "";
    /// Part of shutdown_seconds: how long the API still accepts requests after SIGTERM, while it is unready and answers
    /// with `Connection: close` so that clients disconnect. The default suits pods that wait before SIGTERM, as the
    /// operator's do. If a load balancer relies on /health/ready alone, set twice the time that it needs to notice.
    shutdown_grace_seconds: Duration, "WALLEX_SHUTDOWN_GRACE_SECONDS", default "1", example "";
    /// Connections that append to the journal, per command process. Several mostly wait for each other's locks.
    writers: usize, "WALLEX_WRITERS", default "1", example "";
    /// Address on which the command processes of a platform hand commands on to each other, so that few of them write
    /// (`preferred_writers`). Only they need to reach it: what is sent is not encrypted. Unset: each process writes what
    /// it is asked, which is right where there is only one.
    internal_listen: Option<SocketAddr>, "WALLEX_INTERNAL_LISTEN", default "", example "0.0.0.0:8081";
    /// Host name or IP address at which the other command processes reach internal_listen. Unset: the address it names,
    /// or if it names all of them the one from which this process reaches the journal's database.
    internal_host: Option<String>, "WALLEX_INTERNAL_HOST", default "", example "10.0.3.17";
    /// How many of the command processes that hand commands on write, each its own partitions. More than 1 is faster only
    /// where PostgreSQL has cores to spare. The same for all of them.
    preferred_writers: usize, "WALLEX_PREFERRED_WRITERS", default "1", example "";
    /// Most commands waiting for a writer; a further one gets a 503 immediately.
    queue_capacity: usize, "WALLEX_QUEUE_CAPACITY", default "10000", example "";
    /// Most commands in one batch of a writer, which is one transaction.
    max_batch: usize, "WALLEX_MAX_BATCH", default "500", example "";
    /// Most exports (histories, statements and postings as files) that a process runs at once; a further one gets a
    /// 503.
    max_exports: usize, "WALLEX_MAX_EXPORTS", default "32", example "";
    /// Milliseconds after which a command that is still unanswered gets a 503.
    command_timeout_ms: u64, "WALLEX_COMMAND_TIMEOUT_MS", default "10000", example "";
    /// Most open holds that a wallet may have; one more is refused. The same for all roles of a platform.
    max_open_holds: u32, "WALLEX_MAX_OPEN_HOLDS", default "10000", example "";
    /// Minimum number of hours that the answer to an idempotency key is kept. The same for all roles of a platform.
    idempotency_retention_hours: u64, "WALLEX_IDEMPOTENCY_RETENTION_HOURS", default "168", example "";
    /// Additional currencies, each with the number of decimal digits of its minor unit; those of ISO 4217 are built in.
    /// The same for all command and query processes of a platform. Digits never change once a platform has had the
    /// currency.
    currencies: Currencies, "WALLEX_CURRENCIES", default "", example "POINTS:0,GOLD:3";
    /// Milliseconds between polls of the journal. A publisher sends together what was written in between; only a poll that
    /// left something behind is followed by the next one at once.
    poll_interval_ms: u64, "WALLEX_POLL_INTERVAL_MS", default "20", example "";
    /// Milliseconds that a publisher owns a partition without renewing it.
    publisher_lease_ms: u64, "WALLEX_PUBLISHER_LEASE_MS", default "10000", example "";
    /// Most messages that a projector applies in one transaction.
    projector_batch: usize, "WALLEX_PROJECTOR_BATCH", default "1000", example "";
    /// Milliseconds that a projector waits for more events before a transaction, while they keep coming; after a pause
    /// it applies them at once. More: less load on the read side's database, and reads that are further behind.
    projector_gather_ms: Gather, "WALLEX_PROJECTOR_GATHER_MS", default "15", example "";
}

impl Settings {
    /// The platform this process belongs to.
    pub fn platform_id(&self) -> PlatformId {
        PlatformId {
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            name: self.platform.clone(),
        }
    }

    /// The journal's database.
    pub fn database_url(&self) -> Result<&Secret, SettingsError> {
        self.database_url
            .as_ref()
            .ok_or_else(|| SettingsError::missing("database_url"))
    }

    /// The read side's database: its own, or the journal's.
    pub fn read_database_url(&self) -> Result<&Secret, SettingsError> {
        self.read_database_url
            .as_ref()
            .map_or_else(|| self.database_url(), Ok)
    }

    /// Name of the setting that [`Settings::read_database_url`] comes from, for messages.
    pub fn read_database_setting(&self) -> &'static str {
        if self.read_database_url.is_some() {
            "read_database_url"
        } else {
            "database_url"
        }
    }

    pub fn kafka_bootstrap_servers(&self) -> Result<&str, SettingsError> {
        self.kafka_bootstrap_servers
            .as_deref()
            .ok_or_else(|| SettingsError::missing("kafka_bootstrap_servers"))
    }

    /// See `shutdown_seconds`.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }

    pub fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }

    /// See `idempotency_retention_hours`.
    pub fn idempotency_retention(&self) -> Duration {
        Duration::from_secs(self.idempotency_retention_hours.saturating_mul(3600))
    }

    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms)
    }

    pub fn publisher_lease(&self) -> Duration {
        Duration::from_millis(self.publisher_lease_ms)
    }
}

/// Names only: values of flags may be secret.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given().map(|(name, _)| name)).finish()
    }
}
