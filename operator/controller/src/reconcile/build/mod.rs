//! Third stage: the manifests of a validated platform. Pure, one file per kind.
//!
//! Invariant: a manifest depends only on the platform, never on the operator's version, the time or what is running; a
//! pod template never depends on replica counts. So restarting or upgrading the operator changes no pod.

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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use wallex_crd::children::Child;
use wallex_crd::foreign::{ScaledObject, ServiceMonitor};
use wallex_crd::{Component, names};

use super::validate::{Autoscaling, LagDriver, Measure, ValidatedPlatform};

pub use config_map::reaches_kafka_otherwise;
pub use job::{expects_history, told_as};
pub use network_policy::widened;
pub use pod::DEFAULT_REQUESTS;

/// Everything a platform consists of in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifests {
    pub service_account: ServiceAccount,
    pub migration: Job,
    pub config_map: ConfigMap,
    pub services: Vec<Service>,
    pub budgets: Vec<PodDisruptionBudget>,
    pub network_policy: Option<NetworkPolicy>,
    pub maintain: CronJob,
    /// In rollout order.
    pub deployments: Vec<(Component, Deployment)>,
    /// For components without a fixed number of pods. Empty while the platform is suspended.
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
    /// Leaves out kinds that the cluster does not serve. Returns a note about it.
    pub fn leave_out_unserved(&mut self, no_service_monitors: Option<&str>) -> Option<String> {
        let why = no_service_monitors?;
        self.service_monitor.take()?;
        Some(format!("spec.monitoring.serviceMonitor is left out, since {why}"))
    }

    /// Kinds and names of everything a platform has. Its autoscalers, named like their Deployments, are handled with those
    /// (`stages::autoscale`).
    pub fn names(&self) -> Names {
        let Self {
            service_account,
            migration,
            config_map,
            services,
            budgets,
            network_policy,
            maintain,
            deployments,
            scalers: _,
            service_monitor,
            dashboards,
        } = self;
        let mut names = Names::default();
        for (_, deployment) in deployments {
            names.add(deployment);
            let name = deployment.metadata.name.clone().unwrap_or_default();
            names.of_kind::<ScaledObject>(name.clone());
            names.of_kind::<HorizontalPodAutoscaler>(name);
        }
        services.iter().for_each(|service| names.add(service));
        budgets.iter().for_each(|budget| names.add(budget));
        network_policy.iter().for_each(|policy| names.add(policy));
        service_monitor.iter().for_each(|monitor| names.add(monitor));
        dashboards.iter().for_each(|dashboards| names.add(dashboards));
        names.add(config_map);
        names.add(service_account);
        names.add(maintain);
        names.add(migration);
        names
    }

    /// What scales a component.
    pub fn scaler(&self, component: Component) -> Option<&Scaler> {
        let found = self.scalers.iter().find(|(of, _)| *of == component);
        found.map(|(_, scaler)| scaler)
    }
}

/// Kinds and names of objects.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeSet<(Cow<'static, str>, String)>);

impl Names {
    fn add<K: Child>(&mut self, object: &K) {
        self.of_kind::<K>(object.meta().name.clone().unwrap_or_default());
    }

    fn of_kind<K: Child>(&mut self, name: String) {
        self.0.insert((K::kind(&()), name));
    }

    pub fn has<K: Child>(&self, object: &K) -> bool {
        let name = object.meta().name.clone().unwrap_or_default();
        self.0.contains(&(K::kind(&()), name))
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

/// None: the requested autoscaler is not available.
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

/// The selector of objects with these labels.
fn matching(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    }
}
