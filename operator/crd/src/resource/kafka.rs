//! The Kafka part of a platform: the cluster's address and the configuration of its two topics.
//!
//! The two topics have the same fields but different defaults, hence two types.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use super::sources::{CaConfigMapRef, CaSecretRef};
use super::spelled::spelled;

/// The Kafka cluster of a platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Bootstrap brokers, `host:port[,host:port…]`. Both the operator and the pods must reach them.
    #[schemars(length(min = 3, max = 4096))]
    #[x_kube(validation = Rule::new(rules::SERVERS).message(rules::SERVERS_MESSAGE))]
    pub bootstrap_servers: String,

    /// TLS between the brokers and the operator and all pods. Default: none, unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTlsSpec>,

    /// User name and password for the brokers. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSaslSpec>,

    /// The topics of this platform. The operator creates them and corrects their configuration; it never shrinks them.
    #[serde(default)]
    pub topics: TopicsSpec,
}

/// TLS to the brokers. `{}` trusts the certificate authorities of the images.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(rules::ONE_CA).message(rules::ONE_CA_MESSAGE))]
pub struct KafkaTlsSpec {
    /// Secret with the CA certificates that the brokers' certificates are verified against, PEM. A change of its value rolls the pods.
    /// Default: the authorities of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,

    /// The same from a ConfigMap, as trust-manager and OpenShift create them. Set only one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_ref: Option<CaConfigMapRef>,

    /// Secret with the client certificate for the brokers: keys tls.crt and tls.key, as the type kubernetes.io/tls has them, or user.crt and
    /// user.key, as Strimzi's users have them. A change of its value rolls the pods. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_secret_ref: Option<TlsSecretRef>,
}

/// A Secret with a certificate and its key in the platform's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TlsSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,
}

/// User name and password for the brokers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSaslSpec {
    /// SASL mechanism: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN. Default SCRAM-SHA-512. PLAIN sends the password unencrypted unless TLS is
    /// used.
    #[serde(default)]
    pub mechanism: SaslMechanism,

    /// Secret that holds both. A change of its values rolls the pods.
    pub secret_ref: CredentialsRef,
}

/// A user name and a password in a Secret of the platform's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,

    /// Key of the user name. Default `username`; if the Secret has no such key, like those of Strimzi's users, the user name is the Secret's name.
    #[serde(default = "default_username_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::KEY).message(rules::KEY_MESSAGE))]
    pub username_key: String,

    /// Key of the password. Default `password`.
    #[serde(default = "default_password_key")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::KEY).message(rules::KEY_MESSAGE))]
    pub password_key: String,
}

spelled! {
    /// Kafka's ways to tell a name and a password.
    #[derive(Default)]
    SaslMechanism {
        #[default]
        ScramSha512 = "SCRAM-SHA-512",
        ScramSha256 = "SCRAM-SHA-256",
        Plain = "PLAIN",
    }
}

impl CredentialsRef {
    /// The default key of the user name.
    pub const USERNAME_KEY: &str = "username";
}

fn default_username_key() -> String {
    CredentialsRef::USERNAME_KEY.to_owned()
}

fn default_password_key() -> String {
    "password".to_owned()
}

/// The topics of a platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.events.name) || !has(self.deadLetters.name) || self.events.name != self.deadLetters.name").message("events and deadLetters must be two topics: give them different names")
)]
pub struct TopicsSpec {
    /// Every wallet event, in the order of the journal: topic partition n is journal partition n.
    #[serde(default)]
    pub events: EventsTopicSpec,

    /// Copies of events that a projector could not use.
    #[serde(default)]
    pub dead_letters: DeadLettersTopicSpec,

    /// What happens to the topics when the platform is deleted. Retain: they stay. Delete: those that the operator created for this
    /// platform are deleted, others stay; the object is removed once they are gone. The journal in PostgreSQL stays in either case. Default
    /// Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What happens to something outside the cluster when its platform is deleted.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
}

/// Kafka keeps its own state in topics that begin with two underscores; the operator records topic owners in a topic of
/// its own.
const NO_INTERNAL: &str =
    "!self.startsWith('__') && self != '.' && self != '..' && self != 'wallex-topic-owners'";
const NO_INTERNAL_MESSAGE: &str = "this topic name is reserved: names that begin with __ belong to Kafka, wallex-topic-owners to the operator, and . and .. are not valid names";

/// The topic of the wallet events.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EventsTopicSpec {
    /// Name of the topic. Default `<namespace>.<name of the platform>.wallet-events`; a platform that has a topic keeps it. It can't change:
    /// consumers would silently stop seeing events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    #[x_kube(validation = Rule::new(NO_INTERNAL).message(NO_INTERNAL_MESSAGE))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("the events topic can't be renamed: delete the object and apply it again under the new name (data is kept, and the topic is filled again from the journal)"))]
    pub name: Option<String>,

    /// Copies of each partition, on as many brokers. 1 to 15, default 1; 3 in production. Used when the topic is created.
    /// `min.insync.replicas` follows from it (a majority from 3 on, otherwise 1) unless `config` says otherwise.
    #[serde(default = "default_replication_factor")]
    #[schemars(range(min = 1, max = 15))]
    pub replication_factor: i32,

    /// Hours that events are kept. 1 or more, or -1 for ever; default 168 (a week). The journal keeps everything in any case.
    #[serde(default = "default_events_retention")]
    #[schemars(range(min = -1, max = 876_000))]
    #[x_kube(validation = Rule::new("self != 0").message("retentionHours must be at least 1, or -1 to keep events for ever"))]
    pub retention_hours: i64,

    /// How the broker stores the batches. Default lz4.
    #[serde(default)]
    pub compression: Compression,

    /// Further topic configuration, by Kafka's own names (`segment.bytes`, `max.message.bytes`, …). Values are strings. Default: none.
    /// A key removed here leaves the topic's value as it is.
    #[serde(default)]
    #[schemars(schema_with = "topic_config_schema")]
    pub config: BTreeMap<String, String>,
}

/// The topic of the dead letters.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersTopicSpec {
    /// Name of the topic. Default `<namespace>.<name of the platform>.wallet-events-dlq`; a platform that has a topic keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    #[x_kube(validation = Rule::new(NO_INTERNAL).message(NO_INTERNAL_MESSAGE))]
    pub name: Option<String>,

    /// Copies of each partition, on as many brokers. 1 to 15, default 1; 3 in production. Used when the topic is created.
    /// `min.insync.replicas` follows from it (a majority from 3 on, otherwise 1) unless `config` says otherwise.
    #[serde(default = "default_replication_factor")]
    #[schemars(range(min = 1, max = 15))]
    pub replication_factor: i32,

    /// Hours that dead letters are kept. 1 or more, or -1 for ever; default 720 (30 days).
    #[serde(default = "default_dead_letters_retention")]
    #[schemars(range(min = -1, max = 876_000))]
    #[x_kube(validation = Rule::new("self != 0").message("retentionHours must be at least 1, or -1 to keep dead letters for ever"))]
    pub retention_hours: i64,

    /// How the broker stores the batches. Default lz4.
    #[serde(default)]
    pub compression: Compression,

    /// Further topic configuration, by Kafka's own names (`segment.bytes`, `max.message.bytes`, …). Values are strings. Default: none.
    /// A key removed here leaves the topic's value as it is.
    #[serde(default)]
    #[schemars(schema_with = "topic_config_schema")]
    pub config: BTreeMap<String, String>,
}

spelled! {
    /// Values of Kafka's topic setting `compression.type`.
    #[derive(Default)]
    Compression {
        #[default]
        Lz4 = "lz4",
        Zstd = "zstd",
        Snappy = "snappy",
        Gzip = "gzip",
        Uncompressed = "uncompressed",
        /// Keep what the producer chose.
        Producer = "producer",
    }
}

/// Bounded in size, to keep the API server's cost estimate for its rules within the budget.
fn topic_config_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 1024},
        "maxProperties": 64,
        "x-kubernetes-validations": [
            {
                "rule": "!('cleanup.policy' in self) || self['cleanup.policy'] == 'delete'",
                "message": "cleanup.policy must be delete: compaction would remove events"
            },
            {
                "rule": "!('retention.ms' in self) && !('compression.type' in self)",
                "message": "set retentionHours instead of retention.ms, and compression instead of compression.type"
            }
        ]
    })
}

fn default_replication_factor() -> i32 {
    1
}

fn default_events_retention() -> i64 {
    7 * 24
}

fn default_dead_letters_retention() -> i64 {
    30 * 24
}

impl Default for EventsTopicSpec {
    fn default() -> Self {
        Self {
            name: None,
            replication_factor: default_replication_factor(),
            retention_hours: default_events_retention(),
            compression: Compression::default(),
            config: BTreeMap::new(),
        }
    }
}

impl Default for DeadLettersTopicSpec {
    fn default() -> Self {
        Self {
            name: None,
            replication_factor: default_replication_factor(),
            retention_hours: default_dead_letters_retention(),
            compression: Compression::default(),
            config: BTreeMap::new(),
        }
    }
}
