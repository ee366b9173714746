//! Third stage: the manifests of a validated platform. Pure, one file per kind.
//!
//! Invariant: a manifest depends on the platform alone, never on the operator's version, the time or what runs; a pod
//! template never on replica counts. So restarting or upgrading the operator changes no pod.

mod config_map;
mod cron_job;
mod dashboards;
mod deployment;
mod horizontal_pod_autoscaler;
mod job;
mod network_policy;
mod pod;
mod pod_disruption_budget;
mod scaled_object;
mod service;
mod service_account;
mod service_monitor;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wallex_crd::names::{self, Component};

use super::validate::{Autoscaling, LagDriver, Measure, ValidatedPlatform};
use crate::kinds::{ScaledObject, ServiceMonitor};

pub use config_map::reaches_kafka_otherwise;
pub use job::{expects_history, told_as};
pub use network_policy::widened;
pub use pod::DEFAULT_REQUESTS;

/// Everything that one platform consists of in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifests {
    pub service_account: ServiceAccount,
    pub migration: Job,
    pub config_map: ConfigMap,
    pub services: Vec<Service>,
    pub budgets: Vec<PodDisruptionBudget>,
    pub network_policy: Option<NetworkPolicy>,
    pub maintain: CronJob,
    /// In the order in which they are rolled.
    pub deployments: Vec<(Component, Deployment)>,
    /// Of the components whose number of pods is not stated. None has one while the platform is suspended.
    pub scalers: Vec<(Component, Scaler)>,
    pub service_monitor: Option<ServiceMonitor>,
    pub dashboards: Option<ConfigMap>,
}

/// What scales a component.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaler {
    Keda(Box<ScaledObject>),
    Hpa(Box<HorizontalPodAutoscaler>),
}

impl Manifests {
    /// What scales a component.
    pub fn scaler(&self, component: Component) -> Option<&Scaler> {
        let found = self.scalers.iter().find(|(of, _)| *of == component);
        found.map(|(_, scaler)| scaler)
    }
}

/// Builds all of them.
pub fn manifests(platform: &ValidatedPlatform) -> Manifests {
    let config_map = config_map::build(platform);
    let deployments = Component::ROLLOUT
        .into_iter()
        .map(|component| (component, deployment::build(platform, component, &config_map)))
        .collect();
    let scalers: Vec<(Component, Scaler)> = Component::ROLLOUT
        .into_iter()
        .filter(|_| !platform.suspended)
        .filter(|component| platform.component(*component).foreign_autoscaler.is_none())
        .filter_map(|component| {
            let scaling = platform.component(component).autoscaling.as_ref()?;
            Some((component, scaler(platform, component, scaling)?))
        })
        .collect();
    Manifests {
        service_account: service_account::build(platform),
        migration: job::build(platform),
        services: Component::ROLLOUT
            .into_iter()
            .map(|component| service::build(platform, component))
            .collect(),
        budgets: Component::ROLLOUT
            .into_iter()
            .map(|component| pod_disruption_budget::build(platform, component))
            .collect(),
        network_policy: network_policy::build(platform),
        maintain: cron_job::build(platform),
        config_map,
        deployments,
        scalers,
        service_monitor: service_monitor::build(platform),
        dashboards: dashboards::build(platform),
    }
}

/// None: what was asked for is not there.
fn scaler(platform: &ValidatedPlatform, component: Component, scaling: &Autoscaling) -> Option<Scaler> {
    let hpa = || {
        let built = horizontal_pod_autoscaler::build(platform, component, scaling);
        Some(Scaler::Hpa(Box::new(built)))
    };
    match (scaling.by, platform.lag_driver) {
        (Measure::Cpu(_), _) | (Measure::Lag(_), LagDriver::Hpa) => hpa(),
        (Measure::Lag(_), LagDriver::Keda) => {
            let built = scaled_object::build(platform, component, scaling)?;
            Some(Scaler::Keda(Box::new(built)))
        }
        (Measure::Lag(_), LagDriver::Missing(_)) => None,
    }
}

/// Metadata of a child: name, namespace, labels, owner.
fn metadata(platform: &ValidatedPlatform, name: String, role: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(platform.namespace.clone()),
        labels: Some(names::labels(&platform.name, role)),
        owner_references: Some(vec![platform.owner.clone()]),
        ..ObjectMeta::default()
    }
}
