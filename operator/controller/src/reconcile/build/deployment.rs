//! The Deployments: one per component.
//!
//! A rollout loses no request: a new pod is ready before an old one goes, and an old pod that serves clients gets its
//! stop signal only after it has left the endpoints.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ConfigMap, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodTemplateSpec, Probe,
    SleepAction, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use wallex_crd::{Component, names};

use super::{config_map, matching, metadata, pod};
use crate::reconcile::validate::ValidatedPlatform;

/// Seconds between a pod's termination and its kill: the pause below, the services' own limit, and some to spare.
const GRACE_SECONDS: i64 = 35;
/// Seconds that a pod keeps serving clients after its termination begins: the time endpoints and proxies need to drop it.
const DRAIN_SECONDS: i64 = 5;

// The parts must fit the whole, or the kubelet would kill a service that is still finishing.
const _: () = assert!(DRAIN_SECONDS + config_map::SHUTDOWN_SECONDS < GRACE_SECONDS);

pub(super) fn build(
    platform: &ValidatedPlatform,
    component: Component,
    config_map: &ConfigMap,
) -> Deployment {
    let name = component.object(&platform.name);
    let selector = matching(names::selector(&platform.name, Some(component.name())));
    Deployment {
        metadata: metadata(platform, name, Some(component.name())),
        spec: DeploymentSpec {
            replicas: replicas(platform, component),
            selector: selector.clone(),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    // Rounded up, so at least one.
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            revision_history_limit: Some(5),
            progress_deadline_seconds: Some(300),
            template: template(platform, component, config_map, selector),
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

/// None: the autoscaler decides, and an apply does not revert a field that it does not state.
fn replicas(platform: &ValidatedPlatform, component: Component) -> Option<i32> {
    let settings = platform.component(component);
    if platform.suspended {
        Some(0)
    } else if settings.autoscaling.is_some() || settings.foreign_autoscaler.is_some() {
        None
    } else {
        Some(settings.replicas)
    }
}

fn template(
    platform: &ValidatedPlatform,
    component: Component,
    config_map: &ConfigMap,
    selector: LabelSelector,
) -> PodTemplateSpec {
    let settings = platform.component(component);
    let pods = &settings.pods;
    let args = component.row().args.iter().map(|arg| (*arg).to_owned()).collect();
    let own = pod::plain(settings.settings.clone());
    let mut container = pod::container(platform, pods, args, true, own);
    container.env_from = Some(pod::env_from(platform));
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mut ports = vec![port(names::HTTP_PORT_NAME, names::HTTP_PORT)];
    if component == Component::Command {
        ports.push(port(names::INTERNAL_PORT_NAME, names::INTERNAL_PORT));
    }
    container.ports = Some(ports);
    // Startup may wait for the database; the other probes are held back until the process listens.
    container.startup_probe = Some(probe("/health/live", 1, 120));
    container.readiness_probe = Some(probe(names::READY, 2, 2));
    container.liveness_probe = Some(probe("/health/live", 10, 3));
    if component.row().serves_clients {
        container.lifecycle = Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: DRAIN_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        });
    }

    let mut spec = pod::spec(platform, pods, true, container);
    spec.termination_grace_period_seconds = Some(GRACE_SECONDS);
    if pods.spread.is_none() {
        // A preference only: avoid two pods of a component on one node.
        spec.topology_spread_constraints = Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selector),
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        }]);
    }
    let mut annotations = BTreeMap::from([
        (names::CONFIG_HASH.to_owned(), config_map::hash(config_map)),
        (names::SECRET_HASH.to_owned(), pod::secret_hash(platform, pods)),
    ]);
    // A publisher checks the end of its topic only at startup; with nothing to publish, it would not notice that the
    // topic is empty.
    if let Some(at) = platform
        .events_recreated_at
        .as_ref()
        .filter(|_| component == Component::Publisher)
    {
        annotations.insert(names::REFILL.to_owned(), at.clone());
    }
    let labels = names::labels(&platform.name, Some(component.name()));
    PodTemplateSpec {
        metadata: Some(pod::metadata(pods, labels, annotations)),
        spec: Some(spec),
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(names::HTTP_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        // Generous: a small, busy machine answers late, and that is no reason to restart.
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}
