//! The topics of a platform: what they shall be (`plan`, pure) and the broker's side of it (`admin`).
//!
//! Invariant: topics are created, their configuration mended, partitions added, nothing is ever shrunk. A topic that was there before and is
//! gone is created again only by leave ([`Asked::refill`]); one is deleted only when its platform is, and said so.

mod admin;
mod client;
mod plan;

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;

pub use admin::{Librdkafka, TopicsError};
pub use plan::{Action, Found, Plan, plan};

use crate::lease::Fence;

/// The door to the brokers.
pub trait TopicAdmin: Send + Sync {
    /// Makes the topics what is asked for and returns what they are, in the same order.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse; topics before the one that failed are done.
    fn ensure(
        &self,
        connection: Connection,
        asked: Vec<Asked>,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Vec<Topic>, TopicsError>>;

    /// Deletes the topics; those that are gone already are no error.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse; topics before the one that failed are gone.
    fn delete(
        &self,
        connection: Connection,
        topics: Vec<String>,
        fence: Fence,
    ) -> BoxFuture<'static, Result<(), TopicsError>>;
}

/// How the brokers are reached. Holds secrets: its `Debug` shows none.
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

/// One topic as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i32,
    /// Topic configuration by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// A topic that is asked for, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub wanted: Wanted,
    /// None: it was never seen, so there is nothing to miss.
    pub known: Option<Known>,
    /// Whether one that is missing may be made anew: somebody fills it again, or nobody needs to.
    pub refill: bool,
}

/// What was last seen of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub partitions: i32,
    /// It was missing already, and that was reported.
    pub missing: bool,
}

/// What a topic lacks that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// All of it.
    Gone,
    /// Partitions: it has so many.
    Partitions(i32),
}

/// One topic as it is, after [`TopicAdmin::ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// Those it has; those it had when it is gone.
    pub partitions: i32,
    pub replication_factor: i32,
    /// Milliseconds; -1 for ever.
    pub retention_ms: i64,
    /// It was deleted or replaced behind the operator's back, and is left so.
    pub missing: Option<Missing>,
}
