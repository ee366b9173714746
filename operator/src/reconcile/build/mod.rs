//! Third stage: the manifests of a validated platform. Pure, one file per kind.
//!
//! Invariant: a manifest depends on the platform alone, never on the operator's version, the time or what runs; a pod
//! template never on replica counts. So restarting or upgrading the operator changes no pod.

mod config_map;
mod cron_job;
mod deployment;
mod job;
mod network_policy;
mod pod;
mod pod_disruption_budget;
mod service;
mod service_account;
mod service_monitor;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::validate::ValidatedPlatform;
use crate::names::{self, Component};

pub use pod::DEFAULT_REQUESTS;
pub use service_monitor::{ServiceMonitor, ServiceMonitorSpec};

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
    pub service_monitor: Option<ServiceMonitor>,
}

/// Builds all of them.
pub fn run(platform: &ValidatedPlatform) -> Manifests {
    let config_map = config_map::build(platform);
    let deployments = Component::ROLLOUT
        .into_iter()
        .map(|component| (component, deployment::build(platform, component, &config_map)))
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
        service_monitor: service_monitor::build(platform),
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
