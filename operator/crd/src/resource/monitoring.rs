//! How Prometheus and Grafana monitor a platform.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Monitoring of the platform.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct MonitoringSpec {
    /// A ServiceMonitor for the Prometheus Operator, for all components.
    pub service_monitor: ServiceMonitorSettings,

    /// A dashboard of this platform for Grafana, as a ConfigMap that Grafana's sidecar finds.
    pub dashboards: DashboardsSettings,
}

/// The ServiceMonitor of a platform.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceMonitorSettings {
    /// Whether to create one. Needs the Prometheus Operator's CRDs in the cluster; without them the platform still runs, and the message
    /// of Ready says that they are missing. Default false.
    pub enabled: bool,

    /// How often /metrics is scraped, such as `30s`. Default: Prometheus' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 32),
        regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$")
    )]
    pub interval: Option<String>,

    /// Further labels of the ServiceMonitor, by which a Prometheus selects it, such as {release: kube-prometheus-stack}. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pods::labels_schema")]
    pub labels: BTreeMap<String, String>,
}

/// The dashboards of a platform.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct DashboardsSettings {
    /// Whether to create a ConfigMap `<platform>-dashboards`. It is not needed where the operator's chart installs the dashboards for
    /// all platforms. Default false.
    pub enabled: bool,

    /// Labels of the ConfigMap besides `grafana_dashboard: "1"`, or another value of that one, as your Grafana's sidecar looks for.
    /// Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::pods::labels_schema")]
    pub labels: BTreeMap<String, String>,
}
