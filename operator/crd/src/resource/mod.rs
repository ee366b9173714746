//! The `WalletPlatform` custom resource: what a user may ask for and what the operator answers.
//!
//! These types are the only source of the CRD: `wallex-operator crd` prints it, `crds/` holds the committed copy.
//! Invariant: fields are only ever added here, never renamed, removed or narrowed, so that stored objects stay readable.
//! `kubectl explain walletplatform` shows the doc comments.

mod autoscaling;
mod components;
mod currencies;
mod kafka;
mod monitoring;
mod network;
mod pods;
mod projections;
mod rules;
mod sources;
mod spelled;
mod status;
mod tracing;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSON, ValidationRule};
use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use serde::{Deserialize, Serialize};

use self::spelled::spelled;
pub use autoscaling::{
    AutoscalingDriver, AutoscalingSpec, CpuAutoscalingSpec, LagAutoscalingSpec, ScalingStepsSpec,
};
pub use components::{CommandSpec, ComponentSpec, LogFormat, LogLevel, LoggingSpec, QuerySpec, RequestLog};
pub use currencies::{CurrencySpec, setting as currencies_setting};
pub use kafka::{
    Compression, CredentialsRef, DeadLettersTopicSpec, DeletionPolicy, EventsTopicSpec, KafkaSaslSpec,
    KafkaSpec, KafkaTlsSpec, SaslMechanism, TlsSecretRef, TopicsSpec,
};
pub use monitoring::{DashboardsSettings, MonitoringSpec, ServiceMonitorSettings};
pub use network::NetworkPolicySpec;
pub use pods::PodsSpec;
pub use projections::{Projection, ProjectionStatus, ProjectorSpec, ProjectorsSpec, SchemaVersions};
pub use sources::{CaConfigMapRef, CaSecretRef, DatabaseSpec, MigrationSpec, RedisSpec, SecretKeyRef};
pub use status::{
    ComponentStatus, EndpointsStatus, JournalStatus, KafkaStatus, SchemaStatus, TopicStatus,
    WalletPlatformStatus,
};
pub use tracing::TracingSpec;

/// The API group of the custom resource and the prefix of every annotation the operator writes.
pub const GROUP: &str = "wallex.dev";

/// The most partitions that a journal can have.
pub const MAX_PARTITIONS: i32 = 256;

/// Desired state of the wallet platform.
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
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag", description = "Events that the projection furthest behind has still to apply"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1"),
    printcolumn(name = "API", type_ = "string", json_path = ".status.endpoints.api", priority = "1"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = "1")
)]
#[serde(rename_all = "camelCase")]
pub struct WalletPlatformSpec {
    /// Image that every component, the migration and the maintenance run. Required. A tag other than `latest`, or better a digest.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(rules::IMAGE).message(rules::IMAGE_MESSAGE))]
    pub image: String,

    /// When the kubelet pulls the image: Always, IfNotPresent or Never. Default: Kubernetes' own (Always for `latest`, otherwise IfNotPresent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Secrets of this namespace to pull the image with, as in any pod, for every pod. Default: none, but for those of the ServiceAccount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "pull_secrets_schema")]
    pub image_pull_secrets: Vec<PullSecretRef>,

    /// Which user and group pods run as. Image: 65532, the image's own. Namespace: no user is set, so that OpenShift picks one from the
    /// namespace's range; elsewhere the image's user applies. Never root. Default Image. A change replaces the pods.
    #[serde(default)]
    pub run_as: RunAs,

    /// Partitions of the journal and of the events topic: how many batches can be written in parallel. 1 to 256, default 10. The number
    /// may grow if `allowPartitionIncrease` is true, and never shrinks: any other change is reported and otherwise ignored.
    #[serde(default = "default_partitions")]
    #[schemars(range(min = 1, max = MAX_PARTITIONS))]
    pub partitions: i32,

    /// Whether an existing journal may get more partitions, which can't be undone. No wallet moves. Default false.
    #[serde(default)]
    pub allow_partition_increase: bool,

    /// While true the operator changes nothing: neither the children nor the topics; it only observes and reports. Default false.
    #[serde(default)]
    pub paused: bool,

    /// While true no component has pods: the command's stop first, the readers' last. Topics, data and the migration stay. Once it is
    /// false again, the pods return. Default false.
    #[serde(default)]
    pub suspended: bool,

    /// The PostgreSQL that holds the journal and the projections.
    pub database: DatabaseSpec,

    /// The Kafka cluster that carries the events.
    pub kafka: KafkaSpec,

    /// Redis, an accelerator only: without it everything works, some things more slowly. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSpec>,

    /// The API: takes commands, writes the journal, and serves reads too. Stateless, scale at will.
    #[serde(default)]
    pub command: CommandSpec,

    /// Copies the journal to Kafka. Several replicas share the partitions and replace each other when one fails.
    #[serde(default)]
    pub publisher: ComponentSpec,

    /// The projections, each with its own consumer group and its own Deployment.
    #[serde(default)]
    pub projectors: ProjectorsSpec,

    /// Serves reads only, and scales apart from the writers.
    #[serde(default)]
    pub query: QuerySpec,

    /// How the components that have `autoscaling` are scaled.
    #[serde(default)]
    pub autoscaling: AutoscalingSpec,

    /// The pods of the migration and of the hourly maintenance. A change runs the migration once more, which then finds nothing to do.
    #[serde(default)]
    pub jobs: PodsSpec,

    /// Minimum hours that the answer to an idempotency key is kept, so how long a request may be repeated safely. 1 to 8760.
    /// Default: the services' own, 168 (a week).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8760))]
    pub idempotency_retention_hours: Option<i32>,

    /// Most open holds that a wallet may have; one more is refused. 1 to 1000000, and the fewer the better: a wallet whose holds are all due
    /// at once waits until they have ended, a thousand at a time. Default: the services' own, 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_open_holds: Option<i32>,

    /// Currencies that wallets may have besides those of ISO 4217. A currency that is removed gets no new wallets; existing ones keep
    /// working. Decimal digits never change. 100 at most. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["code".to_string()]),
        validation = Rule::new("oldSelf.all(old, self.all(new, new.code != old.code || new.exponent == old.exponent))").message("a currency's exponent can't change, because every amount of it would mean something else: add a new currency instead")
    )]
    pub currencies: Vec<CurrencySpec>,

    /// What the components log.
    #[serde(default)]
    pub logging: LoggingSpec,

    /// Traces of the components. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingSpec>,

    /// Who may talk to the pods and to whom they talk.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,

    /// Monitoring of the platform.
    #[serde(default)]
    pub monitoring: MonitoringSpec,
}

spelled! {
    /// When the kubelet pulls an image.
    ImagePullPolicy {
        Always = "Always",
        IfNotPresent = "IfNotPresent",
        Never = "Never",
    }
}

/// A Secret to pull an image with.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PullSecretRef {
    /// Name of the Secret, of the type kubernetes.io/dockerconfigjson.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,
}

fn pull_secrets_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let item = generator.subschema_for::<PullSecretRef>();
    schemars::json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

/// Who says which user pods run as.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunAs {
    #[default]
    Image,
    Namespace,
}

fn default_partitions() -> i32 {
    10
}

/// The CRD as YAML, exactly as committed in `crds/`.
///
/// # Errors
/// Only if the generated definition can't be serialized as YAML, which would be a bug in the types above.
pub fn crd_yaml() -> Result<String, serde_yaml_ng::Error> {
    let mut crd = WalletPlatform::crd();
    let versions = crd.spec.versions.iter_mut();
    for schema in versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut()) {
        let rules = schema.x_kubernetes_validations.get_or_insert_default();
        rules.extend(Projection::ALL.map(|projection| {
            let (rule, message) = projection.rule();
            ValidationRule {
                rule,
                message: Some(message),
                ..ValidationRule::default()
            }
        }));
        let properties = schema.properties.as_mut();
        if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
            // Until the first reconcile, tools that compare generations must not mistake an empty status for a finished
            // one.
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    serde_yaml_ng::to_string(&crd)
}
