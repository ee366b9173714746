//! Where a platform finds its databases, and which CAs it trusts. The object never contains credentials, only references to
//! Secrets.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// A value in a Secret of the platform's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,

    /// Key within the Secret. Default `url`.
    #[serde(default = "default_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::KEY).message(rules::KEY_MESSAGE))]
    pub key: String,
}

fn default_key() -> String {
    "url".to_owned()
}

/// Certificates of authorities in a Secret of the platform's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,

    /// Key within the Secret. Default `ca.crt`.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::KEY).message(rules::KEY_MESSAGE))]
    pub key: String,
}

/// Certificates of authorities in a ConfigMap of the platform's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CaConfigMapRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,

    /// Key within the ConfigMap. Default `ca.crt`; OpenShift's is `ca-bundle.crt`, trust-manager's the one that the Bundle names.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::KEY).message(rules::KEY_MESSAGE))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// The PostgreSQL of a platform. One database belongs to one platform: another platform's is refused.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(rules::ONE_CA).message(rules::ONE_CA_MESSAGE),
    validation = Rule::new("!has(self.readSecretRef) || self.readSecretRef.name != self.secretRef.name || self.readSecretRef.key != self.secretRef.key").message("readSecretRef names the same value as secretRef: leave it out when the read side lives in the journal's database")
)]
pub struct DatabaseSpec {
    /// Secret with the connection URL, `postgres://user:password@host:port/database`. A change of its value rolls the pods.
    pub secret_ref: SecretKeyRef,

    /// Secret with the CA certificates that PostgreSQL is verified against, PEM, for `sslmode=verify-full` or `verify-ca` in the URL; it is
    /// used for both databases. A change of its value rolls the pods. Default: the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,

    /// The same from a ConfigMap, as trust-manager and OpenShift create them. Set only one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<CaConfigMapRef>,

    /// Most connections that each pod opens. 2 to 1000, default 8: one or two writers saturate two cores already.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 2, max = 1000))]
    pub max_connections: i32,

    /// Secret with the connection URL of the read side's own database, on which the projectors write and the queries read. A change of
    /// its value rolls the pods; another database is filled from the journal, from its beginning. Default: the journal's database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_secret_ref: Option<SecretKeyRef>,

    /// Limits of the migration Job.
    #[serde(default)]
    pub migration: MigrationSpec,
}

/// Limits of the migration Job. A change counts from the next Job on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct MigrationSpec {
    /// Attempts of one Job after the first, 10, 20, 40, … seconds apart. 0 to 20, default 3. Two minutes after the last one the operator
    /// starts a new Job.
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,

    /// Seconds after which a Job that has not finished is ended, all attempts together. 30 to 604800. Default: none, since a
    /// migration of much data may take its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 604_800))]
    pub active_deadline_seconds: Option<i64>,
}

impl Default for MigrationSpec {
    fn default() -> Self {
        Self {
            backoff_limit: 3,
            active_deadline_seconds: None,
        }
    }
}

fn default_max_connections() -> i32 {
    8
}

/// The Redis of a platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(rules::ONE_CA).message(rules::ONE_CA_MESSAGE))]
pub struct RedisSpec {
    /// Secret with the connection URL, `redis://[:password@]host:port`, or `rediss://` for TLS. A change of its value rolls the pods.
    pub secret_ref: SecretKeyRef,

    /// Secret with the certificates of the authorities that Redis is checked against, PEM, for `rediss://` in the URL. A change of its
    /// value rolls the pods. Default: the authorities of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,

    /// The same from a ConfigMap, as trust-manager and OpenShift make them. One of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<CaConfigMapRef>,
}
