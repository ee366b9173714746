//! One component: its number of pods, their settings and their configuration. Pure.

use std::collections::BTreeMap;

use wallex_crd::{CommandSpec, Component, WalletPlatformSpec, names};

use super::autoscaling::{self, Autoscaling, ForeignAutoscaler};
use super::pods::{self, ValidatedPods};
use super::secrets::Secrets;
use crate::reconcile::conditions::Problem;

/// One component of a validated platform.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedComponent {
    /// Pods, while the platform is not suspended and no autoscaler scales the component.
    pub replicas: i32,
    /// None: the number of pods is fixed.
    pub autoscaling: Option<Autoscaling>,
    /// A foreign autoscaler, which takes precedence over both: two that scale one Deployment would fight. None: there
    /// is none.
    pub foreign_autoscaler: Option<ForeignAutoscaler>,
    pub pods: ValidatedPods,
    /// Settings of this component only, by the services' variables.
    pub settings: BTreeMap<&'static str, String>,
}

impl ValidatedComponent {
    /// Minimum pods, if an autoscaler scales the component.
    pub fn least(&self) -> Option<i32> {
        let foreign = self.foreign_autoscaler.as_ref().map(|foreign| foreign.min);
        foreign.or(self.autoscaling.as_ref().map(|scaling| scaling.min))
    }
}

/// Validates what the spec says of one component.
///
/// # Errors
/// When its pod settings are not allowed.
pub(super) fn validated(
    spec: &WalletPlatformSpec,
    component: Component,
    platform: &str,
    partitions: i32,
    secrets: &Secrets<'_>,
) -> Result<ValidatedComponent, Problem> {
    let asked = component.spec(spec);
    let settings = match component {
        Component::Command => command_settings(&spec.command),
        Component::Publisher | Component::Projector(_) | Component::Query => BTreeMap::new(),
    };
    let selector = names::selector(platform, Some(component.name()));
    Ok(ValidatedComponent {
        replicas: asked.replicas,
        foreign_autoscaler: (asked.replicas > 0 && !spec.suspended)
            .then(|| autoscaling::foreign(&secrets.found.foreign_autoscalers, platform, component))
            .flatten(),
        autoscaling: autoscaling::wanted(spec, component, partitions),
        pods: pods::validated(component.row().field, &asked.pods, &selector, secrets)?,
        settings,
    })
}

/// Only explicit settings: the services have their own defaults, and pods without the setting need no restart.
fn command_settings(command: &CommandSpec) -> BTreeMap<&'static str, String> {
    [
        ("WALLEX_QUEUE_CAPACITY", command.queue_capacity),
        ("WALLEX_MAX_BATCH", command.max_batch),
        ("WALLEX_COMMAND_TIMEOUT_MS", command.timeout_milliseconds),
    ]
    .into_iter()
    .filter_map(|(variable, value)| Some((variable, value?.to_string())))
    .collect()
}
