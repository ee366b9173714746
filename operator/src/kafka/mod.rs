//! The topics of a platform: what they shall be (`plan`, pure) and the broker's side of it (`admin`).
//!
//! Invariant: topics are created, their configuration mended, partitions added. Nothing here shrinks or deletes.

mod admin;
mod plan;

use std::collections::BTreeMap;

pub use admin::{TopicsError, ensure};
pub use plan::{Action, Found, plan};

/// One topic as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i32,
    /// Topic configuration by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// One topic as it is, after [`ensure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i32,
    /// Milliseconds; -1 for ever.
    pub retention_ms: i64,
}
