//! The topics of a platform: their desired state (`plan`, pure), their owners (`owners`), and the broker side (`admin`, built
//! from the single requests in `brokers`).
//!
//! Invariant: topics are created, their configuration is corrected, partitions are added; nothing ever shrinks. A topic that
//! existed and is gone is created again only if that is allowed ([`Asked::refill`]). Topics of another platform or another
//! program are never changed. A topic is deleted only together with the platform it was created for, and only if that platform
//! asks for it.

mod admin;
mod brokers;
mod client;
mod error;
pub mod owners;
mod ownership;
mod plan;
mod records;

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;

pub use admin::Librdkafka;
pub use error::TopicsError;
pub use plan::{Action, Found, Plan, plan};

use crate::lease::Fence;

/// Access to the brokers.
pub trait TopicAdmin: Send + Sync {
    /// The id of the Kafka cluster; none: its brokers report none.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse.
    fn cluster(&self, connection: Connection) -> BoxFuture<'static, Result<Option<String>, TopicsError>>;

    /// Brings the topics to the requested state and returns their actual state, in the same order.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse, or a topic belongs to another owner; topics before the failed one are
    /// done.
    fn ensure(
        &self,
        connection: Connection,
        request: Request,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Ensured, TopicsError>>;

    /// Deletes the topics that were created for the platform and gives up the claims to the others. Returns the deleted ones;
    /// topics that are already gone are not an error.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse; topics before the failed one are gone.
    fn delete(
        &self,
        connection: Connection,
        removal: Removal,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Vec<String>, TopicsError>>;
}

/// The topics of one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub topics: Vec<Asked>,
    /// The platform's id: cluster, namespace, name.
    pub owner: String,
    /// `ce_source` of the platform's records.
    pub source: String,
    /// Topics to take over from their present owners.
    pub adopt: Vec<String>,
}

/// The result of a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ensured {
    pub topics: Vec<Topic>,
    /// Why the owners of topics can't be recorded; none: they are recorded.
    pub unrecorded: Option<String>,
}

/// The topics that a deleted platform had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Names, and whether the status says that they were created for the platform; that decides where no owner is
    /// recorded.
    pub topics: Vec<(String, bool)>,
    /// See [`Request::owner`].
    pub owner: String,
}

/// How the brokers are reached. Holds secrets, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    pub bootstrap_servers: String,
    /// TLS and SASL, by the client library's property names. Empty: in the clear.
    pub security: BTreeMap<&'static str, String>,
}

impl From<String> for Connection {
    fn from(bootstrap_servers: String) -> Self {
        Self {
            bootstrap_servers,
            security: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("security", &self.security.keys())
            .finish()
    }
}

/// The desired state of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i32,
    /// Topic configuration by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// A requested topic, with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub wanted: Wanted,
    /// None: it was never seen, so nothing can be missing.
    pub known: Option<Known>,
    /// Whether a missing topic may be recreated: it will be refilled, or needs no refilling.
    pub refill: bool,
}

/// A topic as last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub partitions: i32,
    /// It was already missing, and that was reported.
    pub missing: bool,
    /// It was created for this platform.
    pub created: bool,
}

/// What a topic has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The whole topic.
    Gone,
    /// Partitions; the value is how many are left.
    Partitions(i32),
}

/// The actual state of one topic after [`TopicAdmin::ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// Its partitions; if it is gone, those it had.
    pub partitions: i32,
    pub replication_factor: i32,
    /// Milliseconds; -1 means forever.
    pub retention_ms: i64,
    /// Deleted or replaced behind the operator's back, and left that way.
    pub missing: Option<Missing>,
    /// It was created for this platform.
    pub created: bool,
}
