//! The topics of a platform: what they shall be (`plan`, pure), whose they are (`owners`), and the brokers' side of it (`admin`, by the
//! single requests of `brokers`).
//!
//! Invariant: topics are created, their configuration mended, partitions added, nothing is ever shrunk. A topic that was there before and is
//! gone is created again only by leave ([`Asked::refill`]). Nothing is changed about a topic of another platform, or of another program;
//! one is deleted only when the platform that it was created for is, and said so.

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

/// The door to the brokers.
pub trait TopicAdmin: Send + Sync {
    /// The id of the Kafka cluster; none: its brokers have none to tell.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse.
    fn cluster(&self, connection: Connection) -> BoxFuture<'static, Result<Option<String>, TopicsError>>;

    /// Makes the topics what is asked for and returns what they are, in the same order.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse, or a topic is somebody else's; topics before the one that failed are done.
    fn ensure(
        &self,
        connection: Connection,
        request: Request,
        fence: Fence,
    ) -> BoxFuture<'static, Result<Ensured, TopicsError>>;

    /// Deletes those of the topics that were created for the platform, and gives the others up. Returns the deleted ones; those that
    /// are gone already are no error.
    ///
    /// # Errors
    /// When the brokers can't be reached or refuse; topics before the one that failed are gone.
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
    /// Topics that are taken over from whoever has them.
    pub adopt: Vec<String>,
}

/// What became of a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ensured {
    pub topics: Vec<Topic>,
    /// Why the owners of topics can't be recorded; none: they are.
    pub unrecorded: Option<String>,
}

/// The topics that a deleted platform had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Names, and whether the status says that they were created for the platform: what counts where no owner is recorded.
    pub topics: Vec<(String, bool)>,
    /// See [`Request::owner`].
    pub owner: String,
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
    /// It was created for this platform.
    pub created: bool,
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
    /// It was created for this platform.
    pub created: bool,
}
