//! Reports autoscaling: whether each component with an autoscaler is actually scaled, according to the autoscalers' own
//! status. Pure.
//!
//! Invariant: it only reports. A metric that can't be read changes neither the number of pods nor Ready or Degraded: existing
//! pods keep serving.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt as _;
use wallex_crd::children::{Children, named};
use wallex_crd::foreign::ScaledObject;
use wallex_crd::{Component, WalletPlatformSpec};

use crate::reconcile::build::{Manifests, Scaler};
use crate::reconcile::conditions::{Problem, Reason};
use crate::reconcile::stages::autoscale;
use crate::reconcile::validate::{ForeignAutoscaler, LagDriver, Measure, ValidatedPlatform};

/// Interval while an autoscaler comes or goes: objects that KEDA creates and removes are not watched.
const HANDING_OVER: Duration = Duration::from_secs(5);
/// Interval while a foreign autoscaler exists: it is not watched, and once it is gone the spec decides the number of
/// pods again.
const FOREIGN: Duration = Duration::from_secs(30);

/// Status and problem of the condition; none when nothing is scaled.
pub type Verdict = Option<(&'static str, Problem)>;

/// The verdict when an earlier stage stopped.
pub fn not_checked(spec: &WalletPlatformSpec) -> Verdict {
    let mut scaled = Component::ROLLOUT
        .iter()
        .filter_map(|component| component.scaling(spec));
    scaled.next().map(|_| {
        (
            "Unknown",
            Problem::new(Reason::NotChecked, "an earlier stage stopped"),
        )
    })
}

/// A note about it for a platform that is ready all the same.
pub fn note(verdict: &Verdict) -> Option<String> {
    let (status, problem) = verdict.as_ref()?;
    (*status != "True").then(|| {
        format!(
            "autoscaling is not active ({}): {}",
            problem.reason.as_str(),
            problem.message
        )
    })
}

/// How a component is currently scaled.
enum State {
    Active,
    NotYet(String),
    Not(Problem),
}

/// The condition, from the autoscalers as they were read.
pub fn verdict(platform: &ValidatedPlatform, manifests: &Manifests, children: &Children) -> Verdict {
    let scaled: Vec<Component> = Component::ROLLOUT
        .into_iter()
        .filter(|component| platform.component(*component).least().is_some())
        .collect();
    if scaled.is_empty() {
        return None;
    }
    if platform.suspended {
        let message = "spec.suspended is true, so nothing is scaled";
        return Some(("False", Problem::new(Reason::Suspended, message)));
    }
    let (mut active, mut waiting) = (Vec::new(), Vec::new());
    for component in scaled {
        let name = component.name();
        match state(platform, manifests, children, component) {
            State::Active => active.push(described(platform, manifests, component)),
            State::NotYet(what) => waiting.push(format!("{name}: {what}")),
            State::Not(problem) => {
                let message = format!("{name}: {}", problem.message);
                return Some(("False", Problem::new(problem.reason, message)));
            }
        }
    }
    if !waiting.is_empty() {
        return Some(("False", Problem::new(Reason::HandingOver, waiting.join("; "))));
    }
    let capped = capped(platform);
    Some(if capped.is_empty() {
        ("True", Problem::new(Reason::Active, active.join(", ")))
    } else {
        let message = format!("{}; {}", active.join(", "), capped.join("; "));
        ("True", Problem::new(Reason::Capped, message))
    })
}

/// When to check again, if no watch reports what happens to an autoscaler.
pub fn again(verdict: &Verdict) -> Option<Duration> {
    let (_, problem) = verdict.as_ref()?;
    if problem.reason == Reason::HandingOver {
        Some(HANDING_OVER)
    } else {
        (problem.reason == Reason::ForeignAutoscaler).then_some(FOREIGN)
    }
}

fn described(platform: &ValidatedPlatform, manifests: &Manifests, component: Component) -> String {
    let bounds = platform.component(component).autoscaling.as_ref();
    let (min, max) = bounds.map_or((0, 0), |scaling| (scaling.min, scaling.max));
    let by = match (manifests.scaler(component), bounds.map(|scaling| scaling.by)) {
        (Some(Scaler::Keda(_)), _) => "lag, KEDA",
        (_, Some(Measure::Lag(_))) => "lag, HPA",
        (_, Some(Measure::Cpu(_)) | None) => "CPU",
    };
    format!("{} {min} to {max} by {by}", component.name())
}

fn capped(platform: &ValidatedPlatform) -> Vec<String> {
    let asked = |component: Component| {
        let asked = platform.component(component).autoscaling.as_ref()?.more_asked?;
        let partitions = platform.partitions;
        Some(format!(
            "{} asks for {asked} pods at most and gets {partitions}, since the journal has {partitions} partitions",
            component.name()
        ))
    };
    Component::ROLLOUT.into_iter().filter_map(asked).collect()
}

fn state(
    platform: &ValidatedPlatform,
    manifests: &Manifests,
    children: &Children,
    component: Component,
) -> State {
    let scaler = manifests.scaler(component);
    if let Some(foreign) = &platform.component(component).foreign_autoscaler {
        return State::Not(foreign_autoscaler(platform, component, foreign));
    }
    if let Some(left) = autoscale::obstacle(platform, children, component, scaler) {
        return State::NotYet(format!("waiting until {left} is gone; the number of pods stays"));
    }
    let name = component.object(&platform.name);
    match (scaler, platform.lag_driver) {
        (Some(Scaler::Keda(_)), _) => match named(&children.scaled_objects, &name) {
            Some(live) => of_keda(live),
            None => State::NotYet("its ScaledObject is being created".to_owned()),
        },
        (Some(Scaler::Hpa(_)), _) => match named(&children.autoscalers, &name) {
            Some(live) => of_kubernetes(live),
            None => State::NotYet("its HorizontalPodAutoscaler is being created".to_owned()),
        },
        (None, LagDriver::Missing(why)) => State::Not(Problem::new(
            Reason::DriverMissing,
            format!(
                "spec.autoscaling.driver is KEDA, and {why}, or set the driver to HPA or Auto; the number of pods stays"
            ),
        )),
        (None, LagDriver::Keda | LagDriver::Hpa) => {
            State::NotYet("its autoscaler is being created".to_owned())
        }
    }
}

fn foreign_autoscaler(
    platform: &ValidatedPlatform,
    component: Component,
    foreign: &ForeignAutoscaler,
) -> Problem {
    let deployment = component.object(&platform.name);
    let instead = if component.row().can_scale {
        ", and use `autoscaling` in the spec instead"
    } else {
        ""
    };
    Problem::new(
        Reason::ForeignAutoscaler,
        format!(
            "{} scales Deployment {deployment} and is not the operator's, which leaves the number of pods to it: replicas and autoscaling \
             in the spec are ignored until it is gone. Delete it{instead}",
            foreign.name
        ),
    )
}

fn of_keda(live: &ScaledObject) -> State {
    let status = live.status.as_ref();
    let says = |type_: &str| {
        let conditions = status
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default();
        conditions.iter().find(|condition| condition.type_ == type_)
    };
    let name = live.name_any();
    if says("Paused").is_some_and(|paused| paused.status == "True") {
        return State::Not(Problem::new(
            Reason::ScalingDisabled,
            format!("ScaledObject {name} is paused by an annotation autoscaling.keda.sh/paused…: remove it"),
        ));
    }
    if says("Fallback").is_some_and(|fallback| fallback.status == "True") {
        return State::Not(unreadable(&format!(
            "KEDA can't read the lag: see the events of ScaledObject {name}"
        )));
    }
    match says("Ready") {
        Some(ready) if ready.status == "True" => State::Active,
        Some(ready) if ready.status == "False" => State::Not(unreadable(&format!(
            "ScaledObject {name} says {}: {}",
            ready.reason, ready.message
        ))),
        Some(_) | None => State::NotYet(format!(
            "KEDA has not processed ScaledObject {name} yet; if this lasts, check whether its operator runs"
        )),
    }
}

fn of_kubernetes(live: &HorizontalPodAutoscaler) -> State {
    let status = live.status.as_ref();
    let says = |type_: &str| {
        let conditions = status.and_then(|status| status.conditions.as_deref());
        conditions
            .unwrap_or_default()
            .iter()
            .find(|condition| condition.type_ == type_)
    };
    let name = live.name_any();
    let not = |type_: &str| says(type_).filter(|condition| condition.status == "False");
    match (not("AbleToScale").or(not("ScalingActive")), says("ScalingActive")) {
        (Some(said), _) if said.reason.as_deref() == Some("ScalingDisabled") => State::Not(Problem::new(
            Reason::ScalingDisabled,
            "somebody scaled it to 0, which switches its autoscaler off: scale it to 1 or more".to_owned(),
        )),
        (Some(said), _) => State::Not(unreadable(&format!(
            "HorizontalPodAutoscaler {name} says {}: {}",
            said.reason.as_deref().unwrap_or_default(),
            said.message.as_deref().unwrap_or_default()
        ))),
        (None, Some(_)) => State::Active,
        (None, None) => State::NotYet(format!(
            "Kubernetes has not processed HorizontalPodAutoscaler {name} yet"
        )),
    }
}

fn unreadable(what: &str) -> Problem {
    Problem::new(
        Reason::MetricUnavailable,
        format!("{what}; nothing is scaled until it can be read, and the number of pods stays"),
    )
}
