//! How the components are scaled: by whom, between which bounds, and how fast. Pure.
//!
//! Invariant: a projector never gets more pods than the journal has partitions, and nobody fewer than one.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt as _;
use wallex_crd::{
    AutoscalingDriver, Component, CpuAutoscalingSpec, LagAutoscalingSpec, Scaling, ScalingStepsSpec,
    WalletPlatformSpec,
};

/// The autoscaling of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoscaling {
    /// Pods at least, 1 or more.
    pub min: i32,
    /// Pods at most, as many as `min` or more.
    pub max: i32,
    /// What the spec says, when that is more than there are partitions.
    pub more_asked: Option<i32>,
    pub by: Measure,
    pub up: Steps,
    pub down: Steps,
}

/// An autoscaler of a component that is none of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAutoscaler {
    /// `Kind name`, for people.
    pub name: String,
    /// Pods at least, 1 or more.
    pub min: i32,
}

/// What the number of pods follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Percent of the CPU that pods request, on average.
    Cpu(i32),
    /// Events of lag per pod.
    Lag(i32),
}

/// How fast the number of pods moves in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub stabilization_seconds: i32,
    /// Pods and percent per period; of both the larger counts.
    pub pods: Option<i32>,
    pub percent: Option<i32>,
    pub period_seconds: i32,
}

/// Up at once: lag that waits grows. A few pods or the double, since each step moves partitions between pods.
const UP: Steps = Steps {
    stabilization_seconds: 0,
    pods: Some(4),
    percent: Some(100),
    period_seconds: 30,
};
/// Down slowly: load that comes back within minutes finds its pods there, and partitions do not move for a dip.
const DOWN: Steps = Steps {
    stabilization_seconds: 300,
    pods: None,
    percent: Some(50),
    period_seconds: 60,
};

/// Who scales the projectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LagDriver {
    Keda,
    Hpa,
    /// Nobody: KEDA is asked for by name, and this is why it can't be.
    Missing(&'static str),
}

/// Who scales by lag, in a cluster where KEDA can't be used for the reason `no_keda`, if any.
pub(super) fn lag_driver(asked: AutoscalingDriver, no_keda: Option<&'static str>) -> LagDriver {
    match (asked, no_keda) {
        (AutoscalingDriver::Keda | AutoscalingDriver::Auto, None) => LagDriver::Keda,
        (AutoscalingDriver::Keda, Some(why)) => LagDriver::Missing(why),
        (AutoscalingDriver::Hpa, _) | (AutoscalingDriver::Auto, Some(_)) => LagDriver::Hpa,
    }
}

/// The autoscaling of `component` on a journal of `partitions`; none when its number of pods is stated.
pub(super) fn wanted(
    spec: &WalletPlatformSpec,
    component: Component,
    partitions: i32,
) -> Option<Autoscaling> {
    component.scaling(spec).map(|asked| match asked {
        Scaling::Cpu(asked) => by_cpu(asked),
        Scaling::Lag(asked) => by_lag(asked, partitions),
    })
}

/// The one of `found` that scales `component`. KEDA makes one of each ScaledObject, whoever's that is.
pub(super) fn foreign(
    found: &[HorizontalPodAutoscaler],
    platform: &str,
    component: Component,
) -> Option<ForeignAutoscaler> {
    let deployment = component.object(platform);
    let found = found
        .iter()
        .find(|found| found.spec.scale_target_ref.name == deployment)?;
    let mut owners = found.owner_references().iter();
    let name = match owners.find(|owner| owner.controller == Some(true)) {
        Some(owner) => format!("{} {}", owner.kind, owner.name),
        None => format!("HorizontalPodAutoscaler {}", found.name_any()),
    };
    Some(ForeignAutoscaler {
        name,
        min: found.spec.min_replicas.unwrap_or(1).max(1),
    })
}

fn by_cpu(asked: &CpuAutoscalingSpec) -> Autoscaling {
    let min = asked.min_replicas.max(1);
    Autoscaling {
        min,
        max: asked.max_replicas.max(min),
        more_asked: None,
        by: Measure::Cpu(asked.cpu_utilization.max(1)),
        up: steps(asked.scale_up, UP),
        down: steps(asked.scale_down, DOWN),
    }
}

fn by_lag(asked: &LagAutoscalingSpec, partitions: i32) -> Autoscaling {
    let min = asked.min_replicas.clamp(1, partitions.max(1));
    Autoscaling {
        min,
        max: asked.max_replicas.min(partitions).max(min),
        more_asked: (asked.max_replicas > partitions).then_some(asked.max_replicas),
        by: Measure::Lag(asked.lag_threshold.max(1)),
        up: steps(asked.scale_up, UP),
        down: steps(asked.scale_down, DOWN),
    }
}

/// What was asked for, and the defaults of the direction for the rest.
fn steps(asked: ScalingStepsSpec, default: Steps) -> Steps {
    let (pods, percent) = match (asked.pods, asked.percent) {
        (None, None) => (default.pods, default.percent),
        stated => stated,
    };
    Steps {
        stabilization_seconds: asked
            .stabilization_seconds
            .unwrap_or(default.stabilization_seconds),
        pods,
        percent,
        period_seconds: asked.period_seconds.unwrap_or(default.period_seconds),
    }
}
