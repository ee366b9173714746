//! The optional ServiceMonitor: Prometheus scrapes /metrics behind every Service of the platform.

use wallex_crd::foreign::{Endpoint, Relabeling, ServiceMonitor, ServiceMonitorSpec};
use wallex_crd::names;

use super::{matching, metadata};
use crate::reconcile::validate::ValidatedPlatform;

/// Short labels for the platform and the component, by which autoscalers select a series.
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
            selector: matching(names::labels(&platform.name, None)),
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
