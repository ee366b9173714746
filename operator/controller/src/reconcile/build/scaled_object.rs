//! The ScaledObject of a projector: KEDA asks the platform itself how far the projection is behind, and scales by it.
//!
//! It does not use the consumer group's offsets in Kafka: those show how much of the topic is unread, which is wrongly high after
//! Kafka lost data or the group lost its offsets, and wrongly zero when the publisher is stalled.
//!
//! KEDA creates a HorizontalPodAutoscaler for it, `keda-hpa-…`, with this object's labels, and removes it with this
//! object.
//!
//! Invariant: a lag that can't be read never changes the number of pods.

use wallex_crd::foreign::{
    Advanced, Fallback, HorizontalPodAutoscalerConfig, ScaleTarget, ScaledObject, ScaledObjectSpec, Trigger,
};
use wallex_crd::{Component, Projection, names, report};

use super::{horizontal_pod_autoscaler, metadata};
use crate::reconcile::validate::{Autoscaling, Measure, ValidatedPlatform};

/// Readings that may fail in a row before KEDA reports it and requests the current number of pods. Until then it requests
/// nothing, which keeps the number too.
const FAILURES: i32 = 3;

/// Where the lag report has a projection's events.
fn location(projection: Projection) -> Option<String> {
    let place = Projection::ALL.iter().position(|other| *other == projection)?;
    Some(format!("projections.{place}.lag_events"))
}

/// The component to ask: the query, which serves reads, or the command if there is no query.
fn measurer(platform: &ValidatedPlatform) -> Component {
    let query = platform.component(Component::Query);
    if query.replicas > 0 || query.autoscaling.is_some() {
        Component::Query
    } else {
        Component::Command
    }
}

/// None: the component does not scale by lag.
pub(super) fn build(
    platform: &ValidatedPlatform,
    component: Component,
    scaling: &Autoscaling,
) -> Option<ScaledObject> {
    let Measure::Lag(threshold) = scaling.by else {
        return None;
    };
    let location = location(component.projection()?)?;
    let name = component.object(&platform.name);
    let service = measurer(platform).object(&platform.name);
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
                // Required, but ignored with this behaviour.
                replicas: scaling.min,
                behavior: "currentReplicas".to_owned(),
            },
            advanced: Advanced {
                // When the object is deleted, the number of pods stays as it is.
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
