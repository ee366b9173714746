//! What every role of Wallex needs around its own work: settings, telemetry, metrics, health, shutdown, the HTTP
//! server, and patient connections to PostgreSQL, Kafka and Redis.
//!
//! Nothing here knows wallets, events or Wallex's SQL; it can be read and tested without them.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod database;
pub mod health;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod redis;
mod secret;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

pub use secret::Secret;
pub use settings::{Flags, Settings, SettingsError};
pub use tokio_util::sync::CancellationToken;
