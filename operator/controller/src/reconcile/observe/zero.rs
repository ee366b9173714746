//! Reports a component without pods in a platform that is not suspended. Pure.

use wallex_crd::Component;

use crate::reconcile::conditions::{ComponentState, Problem, Reason};
use crate::reconcile::validate::ValidatedPlatform;

/// Why a component that the platform can't do without has no pods.
pub(in crate::reconcile) fn problem(platform: &ValidatedPlatform, state: &ComponentState) -> Option<Problem> {
    let component = state.component;
    if !state.exists || state.desired > 0 {
        return None;
    }
    let stands = component.row().without_pods?;
    let stated = platform.component(component);
    let by = if stated.replicas == 0 && stated.autoscaling.is_none() {
        "the spec says replicas: 0"
    } else {
        "somebody scaled it to 0, and an autoscaler that finds 0 may leave it so: scale it to 1 or more"
    };
    Some(Problem::new(
        Reason::ScaledToZero,
        format!("it has no pods, so {stands}; {by}"),
    ))
}

/// Worth noting, but does not make the platform unready.
pub(in crate::reconcile) fn note(
    platform: &ValidatedPlatform,
    components: &[ComponentState],
) -> Option<String> {
    let mut states = components.iter().filter(|_| !platform.suspended);
    let query = states.find(|state| state.component == Component::Query)?;
    (query.exists && query.desired == 0)
        .then(|| "query has no pods: the command alone serves reads".to_owned())
}
