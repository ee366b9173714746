//! The HorizontalPodAutoscalers: by CPU for command and query, by lag for the projectors where KEDA does not scale them.
//!
//! Invariant: a metric that can't be read never changes the number of pods: Kubernetes' controller skips failing
//! metrics.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, ExternalMetricSource, HPAScalingPolicy, HPAScalingRules,
    HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricIdentifier,
    MetricSpec, MetricTarget, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use wallex_crd::Component;

use super::{matching, metadata};
use crate::reconcile::validate::{Autoscaling, Measure, Steps, ValidatedPlatform};

/// The external metric that projectors follow. Every command and query pod exports it, so a metrics adapter must not sum over
/// pods: charts/prometheus-adapter-rules.yaml.
const LAG_METRIC: &str = "wallex_projection_lag_events";

pub(super) fn build(
    platform: &ValidatedPlatform,
    component: Component,
    scaling: &Autoscaling,
) -> HorizontalPodAutoscaler {
    let name = component.object(&platform.name);
    HorizontalPodAutoscaler {
        metadata: metadata(platform, name.clone(), Some(component.name())),
        spec: HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name,
            },
            min_replicas: Some(scaling.min),
            max_replicas: scaling.max,
            metrics: Some(vec![metric(platform, component, scaling.by)]),
            behavior: Some(behavior(scaling)),
        },
        status: None,
    }
}

fn metric(platform: &ValidatedPlatform, component: Component, by: Measure) -> MetricSpec {
    match by {
        Measure::Cpu(percent) => MetricSpec {
            type_: "Resource".to_owned(),
            resource: Some(ResourceMetricSource {
                name: "cpu".to_owned(),
                target: MetricTarget {
                    type_: "Utilization".to_owned(),
                    average_utilization: Some(percent),
                    ..MetricTarget::default()
                },
            }),
            ..MetricSpec::default()
        },
        Measure::Lag(events) => MetricSpec {
            type_: "External".to_owned(),
            external: Some(ExternalMetricSource {
                metric: MetricIdentifier {
                    name: LAG_METRIC.to_owned(),
                    selector: Some(matching(series(platform, component))),
                },
                target: MetricTarget {
                    type_: "AverageValue".to_owned(),
                    average_value: Some(Quantity(events.to_string())),
                    ..MetricTarget::default()
                },
            }),
            ..MetricSpec::default()
        },
    }
}

/// Labels of the series that a projector follows.
fn series(platform: &ValidatedPlatform, component: Component) -> BTreeMap<String, String> {
    let projection = component.projection().map(|of| ("projection", of.name()));
    [
        ("namespace", platform.namespace.as_str()),
        ("platform", &platform.name),
    ]
    .into_iter()
    .chain(projection)
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .collect()
}

/// How fast the number of pods changes.
pub(super) fn behavior(scaling: &Autoscaling) -> HorizontalPodAutoscalerBehavior {
    HorizontalPodAutoscalerBehavior {
        scale_up: Some(rules(scaling.up)),
        scale_down: Some(rules(scaling.down)),
    }
}

fn rules(steps: Steps) -> HPAScalingRules {
    let policy = |type_: &str, value| HPAScalingPolicy {
        type_: type_.to_owned(),
        value,
        period_seconds: steps.period_seconds,
    };
    let pods = steps.pods.map(|pods| policy("Pods", pods));
    let percent = steps.percent.map(|percent| policy("Percent", percent));
    HPAScalingRules {
        stabilization_window_seconds: Some(steps.stabilization_seconds),
        select_policy: Some("Max".to_owned()),
        policies: Some(pods.into_iter().chain(percent).collect()),
        ..HPAScalingRules::default()
    }
}
