//! The ScaledObject of a projector: KEDA asks the platform itself how far the projection is behind, and scales by it.
//!
//! It does not ask Kafka for the offsets of the consumer group: those say how much of the topic is unread, which is a lot for nothing when
//! Kafka lost its data or the group its offsets, and nothing when the publisher stands still.
//!
//! Its resource is KEDA's (v2.20). The type holds what is stated here and no more; server-side apply leaves the rest alone. KEDA makes a
//! HorizontalPodAutoscaler of it, `keda-hpa-…`, with this object's labels, and removes it with this object.
//!
//! Invariant: a lag that can't be read changes no number of pods.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::{horizontal_pod_autoscaler, metadata};
use crate::names::{self, Component};
use crate::reconcile::projections::report;
use crate::reconcile::validate::{Autoscaling, Measure, ValidatedPlatform};

/// The part of a ScaledObject's spec that the operator states.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "ScaledObject",
    plural = "scaledobjects",
    namespaced,
    schema = "disabled",
    status = "ScaledObjectStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectSpec {
    #[serde(default)]
    pub scale_target_ref: ScaleTarget,
    #[serde(default)]
    pub min_replica_count: i32,
    #[serde(default)]
    pub max_replica_count: i32,
    #[serde(default)]
    pub fallback: Fallback,
    #[serde(default)]
    pub advanced: Advanced,
    #[serde(default)]
    pub triggers: Vec<Trigger>,
}

/// What is scaled.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTarget {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub name: String,
}

/// What holds while a trigger can't be read.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    #[serde(default)]
    pub failure_threshold: i32,
    #[serde(default)]
    pub replicas: i32,
    #[serde(default)]
    pub behavior: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    #[serde(default)]
    pub restore_to_original_replica_count: bool,
    #[serde(default)]
    pub horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct HorizontalPodAutoscalerConfig {
    #[serde(default)]
    pub behavior: HorizontalPodAutoscalerBehavior,
}

/// What is measured.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    #[serde(rename = "type", default)]
    pub type_: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// What KEDA says of a ScaledObject.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaledObjectStatus {
    #[serde(default)]
    pub conditions: Vec<ScaledObjectCondition>,
}

/// KEDA's conditions: `Ready`, `Active`, `Fallback`, `Paused`.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ScaledObjectCondition {
    #[serde(rename = "type", default)]
    pub type_: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
}

/// Readings that may fail in a row before KEDA says so, and states the present number as the wish. Until then it wishes for nothing,
/// which keeps the number as well.
const FAILURES: i32 = 3;
/// Where the report of the lag has the events of a projection: it lists them in this order.
fn location(projection: &str) -> Option<String> {
    let place = report::ORDER.iter().position(|name| *name == projection)?;
    Some(format!("projections.{place}.lag_events"))
}

/// Who is asked: the query, which reads are for, or the command where there is none.
fn measurer(platform: &ValidatedPlatform) -> Component {
    let query = platform.component(Component::Query);
    if query.replicas > 0 || query.autoscaling.is_some() {
        Component::Query
    } else {
        Component::Command
    }
}

/// None: the component does not follow a lag.
pub(super) fn build(
    platform: &ValidatedPlatform,
    component: Component,
    scaling: &Autoscaling,
) -> Option<ScaledObject> {
    let Measure::Lag(threshold) = scaling.by else {
        return None;
    };
    let location = location(component.projection()?)?;
    let name = names::component_object(&platform.name, component);
    let service = names::component_object(&platform.name, measurer(platform));
    let url = format!(
        "http://{service}.{}.svc:{}{}",
        platform.namespace,
        names::HTTP_PORT,
        report::PATH
    );
    let trigger = [
        ("url", url),
        ("format", "json".to_owned()),
        ("valueLocation", location),
        ("targetValue", threshold.to_string()),
    ];
    Some(ScaledObject {
        metadata: metadata(platform, name.clone(), Some(component.name())),
        spec: ScaledObjectSpec {
            scale_target_ref: ScaleTarget {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name,
            },
            min_replica_count: scaling.min,
            max_replica_count: scaling.max,
            fallback: Fallback {
                failure_threshold: FAILURES,
                // Required, and not looked at with this behaviour.
                replicas: scaling.min,
                behavior: "currentReplicas".to_owned(),
            },
            advanced: Advanced {
                // When the object goes, the pods stay as many as they are.
                restore_to_original_replica_count: false,
                horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig {
                    behavior: horizontal_pod_autoscaler::behavior(scaling),
                },
            },
            triggers: vec![Trigger {
                type_: "metrics-api".to_owned(),
                metadata: trigger.map(|(key, value)| (key.to_owned(), value)).into(),
            }],
        },
        status: None,
    })
}
