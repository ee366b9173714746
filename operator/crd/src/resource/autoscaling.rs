//! The autoscaling settings: driver, bounds and speed.
//!
//! A component with `autoscaling` gets its replicas only from the autoscaler; `replicas` is then ignored.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Autoscaling of the whole platform.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct AutoscalingSpec {
    /// What scales the projectors by their lag. KEDA: a ScaledObject that reads the lag from the query role, or from the command role
    /// if there is no query. HPA: a HorizontalPodAutoscaler on the external metric wallex_projection_lag_events, which needs a metrics
    /// adapter. Auto: KEDA where the cluster has it, otherwise HPA. Default Auto. A change keeps the existing pods.
    pub driver: AutoscalingDriver,
}

/// What scales by lag.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoscalingDriver {
    #[default]
    Auto,
    #[serde(rename = "KEDA")]
    Keda,
    #[serde(rename = "HPA")]
    Hpa,
}

/// Autoscaling by CPU: a HorizontalPodAutoscaler on the pods' CPU use relative to their request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("maxReplicas must be at least minReplicas: raise maxReplicas, or lower minReplicas"))]
pub struct CpuAutoscalingSpec {
    /// Minimum number of pods. 1 to 256, default 1.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 256))]
    pub min_replicas: i32,

    /// Maximum number of pods. 1 to 256. Required.
    #[schemars(range(min = 1, max = 256))]
    pub max_replicas: i32,

    /// Target average CPU use of the pods, in percent of their request. 1 to 1000, default 70. Set `resources.requests.cpu` as well:
    /// the default request is so small that any load exceeds it.
    #[serde(default = "default_cpu_utilization")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_utilization: i32,

    /// How fast pods are added. Default: at once, 4 pods or as many again as there are, whichever is more, within 30 seconds.
    #[serde(default)]
    pub scale_up: ScalingStepsSpec,

    /// How fast pods are removed. Default: after 300 seconds in which fewer sufficed, half of them within 60 seconds.
    #[serde(default)]
    pub scale_down: ScalingStepsSpec,
}

/// Autoscaling by lag: events of the journal that the projection has not applied yet.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("maxReplicas must be at least minReplicas: raise maxReplicas, or lower minReplicas"))]
pub struct LagAutoscalingSpec {
    /// Minimum number of pods. 1 to 256, default 1: no projection stops, so that its lag never waits for a first pod.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 256))]
    pub min_replicas: i32,

    /// Maximum number of pods. 1 to 256, and never more than the platform has partitions: further ones would be idle. Required.
    #[schemars(range(min = 1, max = 256))]
    pub max_replicas: i32,

    /// Events of lag per pod, summed over all partitions: the target number of pods is the lag divided by this, rounded up. 1 to
    /// 1000000000, default 1000.
    #[serde(default = "default_lag_threshold")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub lag_threshold: i32,

    /// How fast pods are added. Default: at once, 4 pods or as many again as there are, whichever is more, within 30 seconds.
    #[serde(default)]
    pub scale_up: ScalingStepsSpec,

    /// How fast pods are removed. Default: after 300 seconds in which fewer sufficed, half of them within 60 seconds. Every step moves
    /// partitions from pod to pod, so few large steps are better than many small ones.
    #[serde(default)]
    pub scale_down: ScalingStepsSpec,
}

/// Limits how fast the number of pods changes in one direction. Omitted fields take that direction's defaults. If only one of `pods`
/// and `percent` is set, it alone applies; if both are, the larger change is allowed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStepsSpec {
    /// Stabilisation window in seconds: the most conservative target within it applies, so that short peaks and dips are ignored.
    /// 0 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: Option<i32>,

    /// Number of pods that may be added or removed within a period. 1 to 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub pods: Option<i32>,

    /// Percent of the current pods that may be added or removed within a period. 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub percent: Option<i32>,

    /// Length of a period in seconds. 1 to 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: Option<i32>,
}

fn default_min_replicas() -> i32 {
    1
}

fn default_cpu_utilization() -> i32 {
    70
}

fn default_lag_threshold() -> i32 {
    1000
}
