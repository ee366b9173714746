//! How the components are scaled: by which autoscaler, within which bounds, and how fast. Pure.
//!
//! Invariant: a projector never gets more pods than the journal has partitions, and no component fewer than one.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt as _;
use wallex_crd::{
    AutoscalingDriver, Component, CpuAutoscalingSpec, LagAutoscalingSpec, Scaling, ScalingStepsSpec,
    WalletPlatformSpec,
};

/// The autoscaling of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoscaling {
    /// Minimum pods, at least 1.
    pub min: i32,
    /// Maximum pods, at least `min`.
    pub max: i32,
    /// The maximum in the spec, if that is more than there are partitions.
    pub more_asked: Option<i32>,
    pub by: Measure,
    pub up: Steps,
    pub down: Steps,
}

/// An autoscaler of a component that does not belong to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignAutoscaler {
    /// `Kind name`, for people.
    pub name: String,
    /// Minimum pods, at least 1.
    pub min: i32,
}

/// What the number of pods follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Average percentage of the CPU that pods request.
    Cpu(i32),
    /// Events of lag per pod.
    Lag(i32),
}

/// How fast the number of pods changes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub stabilization_seconds: i32,
    /// Pods and percent per period; the larger one counts.
    pub pods: Option<i32>,
    pub percent: Option<i32>,
    pub period_seconds: i32,
}

/// Up immediately, because unhandled lag grows. A few pods or double, because each step moves partitions between pods.
const UP: Steps = Steps {
    stabilization_seconds: 0,
    pods: Some(4),
    percent: Some(100),
    period_seconds: 30,
};
/// Down slowly: load that returns within minutes finds its pods still there, and a dip moves no partitions.
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
    /// None: KEDA is requested explicitly, and this is why it can't be used.
    Missing(&'static str),
}

/// What scales by lag; `no_keda` is the reason why KEDA can't be used in this cluster, if any.
pub(super) fn lag_driver(asked: AutoscalingDriver, no_keda: Option<&'static str>) -> LagDriver {
    match (asked, no_keda) {
        (AutoscalingDriver::Keda | AutoscalingDriver::Auto, None) => LagDriver::Keda,
        (AutoscalingDriver::Keda, Some(why)) => LagDriver::Missing(why),
        (AutoscalingDriver::Hpa, _) | (AutoscalingDriver::Auto, Some(_)) => LagDriver::Hpa,
    }
}

/// The autoscaling of `component` on a journal with `partitions`; none if its number of pods is fixed.
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

/// The one in `found` that scales `component`. KEDA creates one for every ScaledObject, whoever owns it.
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

/// The requested values, with the direction's defaults for the rest.
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
