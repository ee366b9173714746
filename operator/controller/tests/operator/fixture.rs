//! A platform as a user would write it, and its surroundings.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use wallex_crd::{Component, WalletPlatform};
use wallex_operator::reconcile::build::{self, Manifests};
use wallex_operator::reconcile::dereference::{Dereferenced, SecretValues};
use wallex_operator::reconcile::validate::{self, ValidatedPlatform};

/// Uid of the namespace kube-system in these tests.
pub(crate) const CLUSTER: &str = "11111111-1111-1111-1111-111111111111";

/// The smallest platform.
pub(crate) fn platform() -> WalletPlatform {
    serde_yaml_ng::from_str(
        "
        apiVersion: wallex.dev/v1alpha1
        kind: WalletPlatform
        metadata:
          name: demo
          namespace: wallex
          uid: 22222222-2222-2222-2222-222222222222
          generation: 4
        spec:
          image: localhost/wallex:dev
          database: {secretRef: {name: demo-database}}
          kafka: {bootstrapServers: '10.89.0.1:9092'}
        ",
    )
    .unwrap()
}

/// [`platform`] with its spec changed.
pub(crate) fn changed(change: impl FnOnce(&mut WalletPlatform)) -> WalletPlatform {
    let mut platform = platform();
    change(&mut platform);
    platform
}

/// A world in which the named Secrets exist.
pub(crate) fn world() -> Dereferenced {
    let mut world = Dereferenced::default();
    secret(
        &mut world,
        "demo-database",
        "postgres://wallex:hunter2@10.89.0.1:5432/demo",
    );
    secret(&mut world, "demo-redis", "redis://10.89.0.1:6379");
    world
}

/// A platform that sets every field.
pub(crate) fn full() -> WalletPlatform {
    serde_yaml_ng::from_str(include_str!("../../../crd/examples/full-platform.yaml")).unwrap()
}

/// [`world`] with the further Secrets of [`full`].
pub(crate) fn full_world() -> Dereferenced {
    let mut world = world();
    secret(
        &mut world,
        "demo-read-database",
        "postgres://wallex:hunter2@10.89.0.2:6432/read",
    );
    secret(&mut world, "demo-extra", "eu-central");
    values(
        &mut world,
        "database-ca",
        &[("bundle.pem", "-----BEGIN CERTIFICATE-----")],
    );
    values(
        &mut world,
        "kafka-ca",
        &[("authorities.pem", "-----BEGIN CERTIFICATE-----")],
    );
    config_map(
        &mut world,
        "trust",
        &[("ca-bundle.crt", "-----BEGIN CERTIFICATE-----")],
    );
    values(
        &mut world,
        "kafka-client",
        &[("tls.crt", "-----BEGIN CERTIFICATE-----"), ("tls.key", "hunter2")],
    );
    values(
        &mut world,
        "kafka-user",
        &[("user", "wallex"), ("pass", "hunter2\n")],
    );
    world
}

/// The pod template of a component.
pub(crate) fn template(manifests: &Manifests, component: Component) -> &PodTemplateSpec {
    let (_, deployment) = manifests
        .deployments
        .iter()
        .find(|(of, _)| *of == component)
        .unwrap();
    &deployment.spec.template
}

/// Puts a Secret with a key `url` into the world.
pub(crate) fn secret(world: &mut Dereferenced, name: &str, url: &str) {
    values(world, name, &[("url", url)]);
}

/// Puts a Secret into the world.
pub(crate) fn values(world: &mut Dereferenced, name: &str, values: &[(&str, &str)]) {
    world
        .secrets
        .insert(name.to_owned(), SecretValues(as_bytes(values)));
}

/// Puts a ConfigMap into the world.
pub(crate) fn config_map(world: &mut Dereferenced, name: &str, values: &[(&str, &str)]) {
    world.config_maps.insert(name.to_owned(), as_bytes(values));
}

fn as_bytes(values: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let values = values.iter();
    values
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

pub(crate) fn validated(platform: &WalletPlatform, world: &Dereferenced) -> ValidatedPlatform {
    validate::platform(platform, world, CLUSTER).unwrap()
}

pub(crate) fn built(platform: &WalletPlatform, world: &Dereferenced) -> Manifests {
    build::manifests(&validated(platform, world))
}
