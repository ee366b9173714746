//! The ServiceMonitor, when it is asked for: Prometheus reads /metrics behind every Service of the platform.
//!
//! Its resource is the Prometheus Operator's. The type holds what is stated here and no more; server-side apply leaves the rest alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::metadata;
use crate::names;
use crate::reconcile::validate::ValidatedPlatform;

/// The part of a ServiceMonitor's spec that the operator states.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    plural = "servicemonitors",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitorSpec {
    #[serde(default)]
    pub selector: LabelSelector,
    /// Labels of a Service that its series get.
    #[serde(default)]
    pub target_labels: Vec<String>,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// Where a Service's metrics are.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    #[serde(default)]
    pub port: String,
    #[serde(default)]
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Further labels that its series get.
    #[serde(default)]
    pub relabelings: Vec<Relabeling>,
}

/// A label made of others.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Relabeling {
    #[serde(default)]
    pub source_labels: Vec<String>,
    #[serde(default)]
    pub target_label: String,
}

/// The short names of what a series is of, by which autoscalers ask for it: the platform and the component.
fn relabelings() -> Vec<Relabeling> {
    [("instance", "platform"), ("component", "component")]
        .map(|(label, target)| Relabeling {
            source_labels: vec![format!(
                "__meta_kubernetes_service_label_app_kubernetes_io_{label}"
            )],
            target_label: target.to_owned(),
        })
        .into()
}

pub(super) fn build(platform: &ValidatedPlatform) -> Option<ServiceMonitor> {
    let settings = platform.service_monitor.as_ref()?;
    let mut metadata = metadata(platform, platform.name.clone(), None);
    let labels = metadata.labels.get_or_insert_default();
    for (label, value) in &settings.labels {
        labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
    Some(ServiceMonitor {
        metadata,
        spec: ServiceMonitorSpec {
            selector: LabelSelector {
                match_labels: Some(names::labels(&platform.name, None)),
                ..LabelSelector::default()
            },
            target_labels: ["app.kubernetes.io/instance", "app.kubernetes.io/component"]
                .map(str::to_owned)
                .into(),
            endpoints: vec![Endpoint {
                port: names::HTTP_PORT_NAME.to_owned(),
                path: "/metrics".to_owned(),
                interval: settings.interval.clone(),
                relabelings: relabelings(),
            }],
        },
    })
}
