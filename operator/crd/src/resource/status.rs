//! What the operator reports back. Only the status stage writes it; no one else owns any of its fields.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::projections::{ProjectionStatus, SchemaVersions};

/// Observed state of the platform.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WalletPlatformStatus {
    /// The generation of the spec that this status describes; -1: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Progressing, Degraded, TopicsReady, SchemaReady, ProjectionsCurrent, AutoscalingActive (where something is scaled) and <Component>Available; while it is not ready, Reconciling, or Stalled when only a person can help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_string()]))]
    pub conditions: Vec<Condition>,

    /// Components whose pods are all ready, of all: `5/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components_ready: Option<String>,

    /// The components, a row each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub components: Vec<ComponentStatus>,

    /// The Kafka cluster as it last answered. None: it has not answered yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaStatus>,

    /// The topics as they are in Kafka.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub topics: Vec<TopicStatus>,

    /// The last migration that succeeded. Remembered here so that a migration Job that is gone is not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,

    /// The journal that the platform has written. A database that lacks it is not taken in its place unless a person says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalStatus>,

    /// How far the projections are behind, a row each, read at most every 30 seconds. None while that can't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_string()]))]
    pub projections: Vec<ProjectionStatus>,

    /// Events that the projection furthest behind has still to apply. None while that can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,

    /// Where the platform answers, within the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointsStatus>,
}

/// One component as it runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Name of the component, such as `command`.
    pub name: String,
    /// Pods asked for.
    pub desired: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Image of the present template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The Kafka cluster that a platform uses.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaStatus {
    /// The addresses by which it was reached.
    pub bootstrap_servers: String,
    /// Its own id. Two platforms with one id use one Kafka, whatever addresses they name.
    pub cluster_id: String,
}

/// One topic as it is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Name of the topic.
    pub name: String,
    /// Partitions that the topic has.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i32,
    /// Hours that records are kept; -1 for ever.
    pub retention_hours: i64,
    /// Whether the operator created it for this platform. Only such a topic is deleted with the platform.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Since when the topic or some of its partitions, which existed before, are missing. None: nothing is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Time>,
    /// When it was last recreated after it had been missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recreated_at: Option<Time>,
}

/// The migration that last succeeded.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// Name of the Job; it holds a hash of image, arguments and the database's address.
    pub job: String,
    /// Image that migrated.
    pub image: String,
    /// Partitions that the journal was given.
    pub partitions: i32,
    /// Versions of the database's schemas after it, as the migration logged them. None when its log could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<SchemaVersions>,
    /// When a schema that was gone from the database made the migration run once more. None: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrated_again_at: Option<Time>,
}

/// What the operator knows of a platform's journal.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct JournalStatus {
    /// What the journal is known by: the microsecond, since 1970, in which it was made. None where the migration did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Minimum number of events that it held at `seenAt`. Updated once a minute while it grows, and when it has grown by a tenth.
    pub events: i64,
    /// When `events` was last brought up to date. None: by the migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Time>,
}

/// Addresses within the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EndpointsStatus {
    /// The whole API.
    pub api: String,
    /// Reads only.
    pub query: String,
}
