//! The Services: one per component, on port 8080. `…-command` is the address of the whole API, `…-query` the address for
//! reads; the others give metrics and health a name.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use wallex_crd::{Component, names};

use super::metadata;
use crate::reconcile::validate::ValidatedPlatform;

pub(super) fn build(platform: &ValidatedPlatform, component: Component) -> Service {
    let name = component.object(&platform.name);
    Service {
        metadata: metadata(platform, name, Some(component.name())),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(names::selector(&platform.name, Some(component.name()))),
            ports: Some(vec![ServicePort {
                name: Some(names::HTTP_PORT_NAME.to_owned()),
                port: names::HTTP_PORT,
                target_port: Some(IntOrString::String(names::HTTP_PORT_NAME.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
