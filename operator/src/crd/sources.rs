//! Where a platform finds its databases. Credentials never stand in the object: only references to Secrets do.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A value in a Secret of the platform's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Key within the Secret. Default `url`.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_key() -> String {
    "url".to_owned()
}

/// The PostgreSQL of a platform. One database belongs to one platform: another platform's is refused.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// Secret with the connection URL, `postgres://user:password@host:port/database`. A change of its value rolls the pods.
    pub secret_ref: SecretKeyRef,

    /// Connections that each pod opens at most. 2 to 1000, default 8: one or two writers saturate two cores already.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 2, max = 1000))]
    pub max_connections: i32,
}

fn default_max_connections() -> i32 {
    8
}

/// The Redis of a platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisSpec {
    /// Secret with the connection URL, `redis://[:password@]host:port`. A change of its value rolls the pods.
    pub secret_ref: SecretKeyRef,
}
