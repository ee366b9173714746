//! What may be said of each component of a platform, and of its logs.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// One component: a Deployment.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSpec {
    /// Pods. 0 to 256, default 1. More publishers or projectors than partitions stand idle.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 256))]
    pub replicas: i32,

    /// CPU and memory, as in any container. Default: requests of 20m CPU and 64Mi memory, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,
}

impl Default for ComponentSpec {
    fn default() -> Self {
        Self {
            replicas: default_replicas(),
            resources: None,
        }
    }
}

fn default_replicas() -> i32 {
    1
}

/// The part of Kubernetes' ResourceRequirements that makes sense here; its own schema repeats a page of prose per quantity.
fn resources_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let quantities = |what: &str| {
        serde_json::json!({
            "description": what,
            "type": "object",
            "additionalProperties": {
                "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
                "x-kubernetes-int-or-string": true,
            },
        })
    };
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requests": quantities("What the scheduler sets aside, such as {cpu: 100m, memory: 128Mi}."),
            "limits": quantities("What a container may use at most, such as {memory: 512Mi}."),
        },
    })
}

/// The projections.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProjectorsSpec {
    /// The double-entry ledger.
    #[serde(default)]
    pub ledger: ComponentSpec,

    /// Wallets and their histories, as the query API serves them.
    #[serde(default)]
    pub read_model: ComponentSpec,
}

/// What the components log.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LoggingSpec {
    /// From which level on lines are written. Default info.
    #[serde(default)]
    pub level: LogLevel,

    /// One JSON object per line, or text for people. Default json.
    #[serde(default)]
    pub format: LogFormat,
}

/// Levels of log lines.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// The word the services' setting `WALLEX_LOG` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Shapes of log lines.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

impl LogFormat {
    /// The word the services' setting `WALLEX_LOG_FORMAT` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}
