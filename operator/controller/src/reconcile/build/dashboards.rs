//! The ConfigMap of dashboards, when it is asked for: the platform's, opened on this very platform, for Grafana's sidecar.
//!
//! The dashboard is the one that the operator's chart brings (charts/wallex-operator/dashboards), so a new release of the operator may
//! change this ConfigMap; no pod mounts it.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use wallex_crd::names;

use super::metadata;
use crate::reconcile::validate::ValidatedPlatform;

const PLATFORM: &str = include_str!("../../../../../charts/wallex-operator/dashboards/platform.json");

/// The label by which Grafana's sidecar finds dashboards, unless it is told another one.
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
    // Names of dashboards' files are one name space to the sidecar.
    let file = format!("wallex-{}-{}.json", platform.namespace, platform.name);
    Some(ConfigMap {
        metadata,
        data: Some([(file, dashboard(platform))].into()),
        ..ConfigMap::default()
    })
}

/// With an id and a title of its own, since Grafana refuses a second one of either in a folder.
fn dashboard(platform: &ValidatedPlatform) -> String {
    let (namespace, name) = (&platform.namespace, &platform.name);
    // That it can be read is tested.
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
