//! The `WalletPlatform` custom resource: what a user may ask for and what the operator answers.
//!
//! These types are the only source of the CRD: `wallex-operator crd` prints it, `crds/` holds the committed copy.
//! Invariant: fields are only ever added here, never renamed, removed or narrowed, so that stored objects stay readable.
//! The doc comments are what `kubectl explain walletplatform` shows.

mod components;
mod kafka;
mod sources;
mod status;

use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use serde::{Deserialize, Serialize};

pub use components::{ComponentSpec, LogFormat, LogLevel, LoggingSpec, ProjectorsSpec};
pub use kafka::{Compression, DeadLettersTopicSpec, EventsTopicSpec, KafkaSpec, TopicsSpec};
pub use sources::{DatabaseSpec, RedisSpec, SecretKeyRef};
pub use status::{ComponentStatus, EndpointsStatus, SchemaStatus, TopicStatus, WalletPlatformStatus};

/// The API group of the custom resource and the prefix of every annotation the operator writes.
pub const GROUP: &str = "wallex.dev";

/// What the wallet platform shall be.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "wallex.dev",
    version = "v1alpha1",
    kind = "WalletPlatform",
    plural = "walletplatforms",
    shortname = "wp",
    category = "wallex",
    namespaced,
    status = "WalletPlatformStatus",
    derive = "PartialEq",
    doc = "A wallet platform: an event-sourced wallet service with its journal in PostgreSQL, its events in Kafka, and its projections. Deleting it removes the workloads and keeps topics and data.",
    annotation("helm.sh/resource-policy", "keep"),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("the name must have at most 40 characters, start with a letter, and consist of a-z, 0-9 and '-': the names of Services are made of it"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything asked for is running"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready, or why not"),
    printcolumn(name = "Components", type_ = "string", json_path = ".status.componentsReady", description = "Components whose pods are all ready, of all"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1"),
    printcolumn(name = "API", type_ = "string", json_path = ".status.endpoints.api", priority = "1"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = "1")
)]
#[serde(rename_all = "camelCase")]
pub struct WalletPlatformSpec {
    /// Image that every component, the migration and the maintenance run. Required. A tag other than `latest`, or better a digest.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,

    /// When the kubelet pulls the image: Always, IfNotPresent or Never. Default: Kubernetes' own (Always for `latest`, otherwise IfNotPresent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Partitions of the journal and of the events topic: how many batches can be written side by side. 1 to 256, default 10.
    /// It may grow and never shrinks: a smaller number than the journal has is reported and otherwise ignored.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = 256))]
    pub partitions: i32,

    /// The PostgreSQL that holds the journal and the projections.
    pub database: DatabaseSpec,

    /// The Kafka cluster that carries the events.
    pub kafka: KafkaSpec,

    /// Redis, an accelerator only: without it everything works, some things more slowly. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSpec>,

    /// The API: takes commands, writes the journal, and serves reads too. Stateless, scale at will.
    #[serde(default)]
    pub command: ComponentSpec,

    /// Copies the journal to Kafka. More than one replica share the partitions and stand in for each other.
    #[serde(default)]
    pub publisher: ComponentSpec,

    /// The projections, each with its own consumer group and its own Deployment.
    #[serde(default)]
    pub projectors: ProjectorsSpec,

    /// Serves reads only, and scales apart from the writers.
    #[serde(default)]
    pub query: ComponentSpec,

    /// What the components log.
    #[serde(default)]
    pub logging: LoggingSpec,
}

/// When the kubelet pulls an image.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl ImagePullPolicy {
    /// The word Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

fn default_partitions() -> i32 {
    10
}

/// The CRD as YAML, exactly as it is committed in `crds/`.
///
/// # Errors
/// Only when the generated definition can't be written as YAML, which would be a defect of the types above.
pub fn crd_yaml() -> Result<String, serde_yaml_ng::Error> {
    serde_yaml_ng::to_string(&WalletPlatform::crd())
}
