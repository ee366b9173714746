//! The state of the components' Deployments.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use wallex_crd::children::named;
use wallex_crd::{Component, rollout};

use super::{pods, zero};
use crate::reconcile::Pass;
use crate::reconcile::build::Manifests;
use crate::reconcile::conditions::{ComponentState, Problem, Reason};
use crate::reconcile::stages::child;

/// The components of a platform that can't be built, judged only by their own status.
pub(super) fn plain(platform: &str, deployments: &[Deployment]) -> Vec<ComponentState> {
    states(platform, deployments, |_| 0, |_| None, |_, _| true)
}

/// The components, with the reasons why pods are not ready.
pub(super) async fn of(
    pass: &Pass<'_>,
    manifests: &Manifests,
    deployments: &[Deployment],
) -> Vec<ComponentState> {
    let platform = pass.platform;
    let mut components = states(
        &platform.name,
        deployments,
        |component| {
            let settings = platform.component(component);
            match settings.least() {
                _ if platform.suspended => 0,
                Some(least) => least,
                None => settings.replicas,
            }
        },
        |component| platform.component(component).least(),
        |component, live| is_wanted(manifests, component, live),
    );
    let (roles, pods) = (&pass.context.projections, &pass.found.pods);
    let now = Timestamp::now();
    pods::judge(&mut components, pods, now);
    pods::ask(roles, &mut components, pods, now).await;
    if !platform.suspended {
        for state in &mut components {
            state.problem = state.problem.take().or_else(|| zero::problem(platform, state));
        }
    }
    components
}

/// Whether a live Deployment has the wanted template.
fn is_wanted(manifests: &Manifests, component: Component, live: &Deployment) -> bool {
    let wanted = manifests.deployments.iter().find(|(of, _)| *of == component);
    wanted.is_some_and(|(_, wanted)| child::is_applied(wanted, live))
}

/// The state of the components' Deployments. `desired` is the number of pods for one that does not exist yet, `least` the number
/// that suffices where an autoscaler decides; `wanted` tells whether a Deployment has the currently wanted template.
fn states(
    platform: &str,
    deployments: &[Deployment],
    desired: impl Fn(Component) -> i32,
    least: impl Fn(Component) -> Option<i32>,
    wanted: impl Fn(Component, &Deployment) -> bool,
) -> Vec<ComponentState> {
    Component::ROLLOUT
        .into_iter()
        .map(|component| {
            let Some(live) = named(deployments, &component.object(platform)) else {
                let desired = desired(component);
                return ComponentState {
                    component,
                    exists: false,
                    desired,
                    ready: 0,
                    updated: 0,
                    image: None,
                    rolled_out: false,
                    stalled: None,
                    problem: None,
                };
            };
            let desired = live.spec.replicas.unwrap_or(1);
            let status = live.status.clone().unwrap_or_default();
            let ready = status.ready_replicas.unwrap_or_default();
            let said = |type_: &str, says: &str, why: &str| {
                status.conditions.iter().flatten().find(|condition| {
                    condition.type_.as_deref() == Some(type_)
                        && condition.status.as_deref() == Some(says)
                        && (why.is_empty() || condition.reason.as_deref() == Some(why))
                })
            };
            let stalled = said("Progressing", "False", "ProgressDeadlineExceeded");
            // A quota or an admission rule; the message contains the API server's words.
            let refused = said("ReplicaFailure", "True", "");
            let enough = match least(component) {
                // Extra pods that an autoscaler has just requested don't make the platform unready.
                Some(least) => rollout::all_present(live) && ready >= least.min(desired),
                None => rollout::replaced(live) && ready >= desired,
            };
            ComponentState {
                component,
                exists: true,
                desired,
                ready,
                updated: status.updated_replicas.unwrap_or_default(),
                image: rollout::image(live).map(str::to_owned),
                rolled_out: wanted(component, live) && enough,
                stalled: stalled.map(|condition| condition.message.clone().unwrap_or_default()),
                problem: refused.map(|condition| {
                    Problem::new(Reason::PodsRefused, condition.message.clone().unwrap_or_default())
                }),
            }
        })
        .collect()
}
