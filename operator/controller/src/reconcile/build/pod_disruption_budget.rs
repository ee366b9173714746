//! PodDisruptionBudgets: a node drain takes one pod of a component at a time. A component of one pod may still be drained.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use wallex_crd::{Component, names};

use super::{matching, metadata};
use crate::reconcile::validate::ValidatedPlatform;

pub(super) fn build(platform: &ValidatedPlatform, component: Component) -> PodDisruptionBudget {
    let name = component.object(&platform.name);
    PodDisruptionBudget {
        metadata: metadata(platform, name, Some(component.name())),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(matching(names::selector(&platform.name, Some(component.name())))),
            // A pod that is not ready serves no one; it must not block a drain forever.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
