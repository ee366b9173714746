//! Where a platform sends its traces.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Traces of the components.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TracingSpec {
    /// Address of an OpenTelemetry collector that receives spans by OTLP over plain HTTP, such as
    /// `http://otel-collector.monitoring:4318`.
    #[schemars(length(min = 8, max = 1024))]
    #[x_kube(validation = Rule::new(rules::ENDPOINT).message(rules::ENDPOINT_MESSAGE))]
    pub endpoint: String,

    /// Share of requests without a `traceparent` that are traced, from "0" to "1"; a request with a `traceparent` is traced if its flag
    /// says so. Default: the services' own, "0.01".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub sample_ratio: Option<String>,
}
