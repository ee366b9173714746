//! The optional ConfigMap with the dashboard for Grafana's sidecar, preset to this platform.
//!
//! The dashboard is the one in the operator's chart (charts/wallex-operator/dashboards), so a new operator release may change
//! this ConfigMap; no pod mounts it.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use wallex_crd::names;

use super::metadata;
use crate::reconcile::validate::ValidatedPlatform;

const PLATFORM: &str = include_str!("../../../../../charts/wallex-operator/dashboards/platform.json");

/// The default label by which Grafana's sidecar finds dashboards.
const GRAFANA: (&str, &str) = ("grafana_dashboard", "1");

pub(super) fn build(platform: &ValidatedPlatform) -> Option<ConfigMap> {
    let settings = platform.dashboards.as_ref()?;
    let mut metadata = metadata(platform, names::dashboards(&platform.name), None);
    let labels = metadata.labels.get_or_insert_default();
    for (label, value) in &settings.labels {
        labels.entry(label.clone()).or_insert_with(|| value.clone());
    }
    labels
        .entry(GRAFANA.0.to_owned())
        .or_insert_with(|| GRAFANA.1.to_owned());
    // To the sidecar, all dashboard file names share one namespace.
    let file = format!("wallex-{}-{}.json", platform.namespace, platform.name);
    Some(ConfigMap {
        metadata,
        data: Some([(file, dashboard(platform))].into()),
        ..ConfigMap::default()
    })
}

/// With its own id and title, because Grafana refuses duplicates of either in a folder.
fn dashboard(platform: &ValidatedPlatform) -> String {
    let (namespace, name) = (&platform.namespace, &platform.name);
    // A test proves that it parses.
    let mut dashboard: Value = serde_json::from_str(PLATFORM).unwrap_or_default();
    let hash = names::short_hash([namespace.as_bytes(), name.as_bytes()], 16);
    dashboard["uid"] = format!("wallex-{hash}").into();
    dashboard["title"] = format!("Wallex / {namespace} / {name}").into();
    for variable in dashboard["templating"]["list"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        let value = match variable["name"].as_str() {
            Some("namespace") => namespace,
            Some("platform") => name,
            Some(_) | None => continue,
        };
        variable["current"] = json!({"text": value, "value": value, "selected": true});
    }
    format!("{dashboard:#}\n")
}
