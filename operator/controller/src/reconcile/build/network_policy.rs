//! The optional NetworkPolicy: ingress to the service port, egress to DNS and to the ports of the databases and Kafka,
//! and between command pods on their internal port.
//!
//! Apart from that it names ports, not addresses: those are host names, which NetworkPolicies don't support, and they
//! change.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use wallex_crd::{Component, names};

use super::{matching, metadata};
use crate::reconcile::validate::ValidatedPlatform;

const DNS: i32 = 53;

pub(super) fn build(platform: &ValidatedPlatform) -> Option<NetworkPolicy> {
    let ports = platform.egress_ports.as_ref()?;
    let mut egress = vec![port("UDP", DNS), port("TCP", DNS)];
    egress.extend(ports.iter().map(|number| port("TCP", *number)));
    let command_pods = || {
        let selector = names::selector(&platform.name, Some(Component::Command.name()));
        Some(vec![NetworkPolicyPeer {
            pod_selector: Some(matching(selector)),
            ..NetworkPolicyPeer::default()
        }])
    };
    let internal = || Some(vec![port("TCP", names::INTERNAL_PORT)]);
    Some(NetworkPolicy {
        metadata: metadata(platform, platform.name.clone(), None),
        spec: Some(NetworkPolicySpec {
            // All pods of the platform, including migration and maintenance.
            pod_selector: Some(matching(names::selector(&platform.name, None))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    ports: Some(vec![port("TCP", names::HTTP_PORT)]),
                    from: None,
                },
                NetworkPolicyIngressRule {
                    ports: internal(),
                    from: command_pods(),
                },
            ]),
            egress: Some(vec![
                NetworkPolicyEgressRule {
                    ports: Some(egress),
                    to: None,
                },
                NetworkPolicyEgressRule {
                    ports: internal(),
                    to: command_pods(),
                },
            ]),
        }),
    })
}

/// `wanted` plus the egress ports of `live`: pods that still run with the previous settings need them.
pub fn widened(wanted: &NetworkPolicy, live: &NetworkPolicy) -> NetworkPolicy {
    let mut widened = wanted.clone();
    let rules = widened.spec.iter_mut().flat_map(|spec| &mut spec.egress);
    let Some(ports) = rules.flatten().find_map(|rule| rule.ports.as_mut()) else {
        return widened;
    };
    let before = live.spec.iter().flat_map(|spec| &spec.egress).flatten();
    // To command pods stays to command pods.
    let before = before.filter(|rule| rule.to.is_none());
    for port in before.filter_map(|rule| rule.ports.as_ref()).flatten() {
        if !ports.contains(port) {
            ports.push(port.clone());
        }
    }
    widened
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
