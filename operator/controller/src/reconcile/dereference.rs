//! First stage: reads everything the later stages need to know. Performs I/O only; judges nothing, writes nothing.
//!
//! Invariant: all reads go to the API server, not to a cache, so a decision is never based on stale data. Anything
//! missing is reported as missing; only an API server that does not answer is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt as _};
use wallex_crd::api_error;
use wallex_crd::children::Children;
use wallex_crd::{
    CaConfigMapRef, CaSecretRef, Component, KafkaSpec, PodsSpec, WalletPlatform, WalletPlatformSpec,
};

use super::children;

/// What exists around one platform.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// The named Secrets that exist, with their values.
    pub secrets: BTreeMap<String, SecretValues>,
    /// The named ConfigMaps that exist, with their values. The platform's own is among the children.
    pub config_maps: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The children, by their labels.
    pub children: Children,
    /// Autoscalers in the namespace that scale Deployments and do not belong to this platform.
    pub foreign_autoscalers: Vec<HorizontalPodAutoscaler>,
    /// All pods of the platform. Their state is reported in the conditions; no decision depends on it.
    pub pods: Vec<Pod>,
    /// Why ServiceMonitors can't exist in this cluster; none if they can.
    pub no_service_monitors: Option<&'static str>,
    /// Why KEDA can't scale in this cluster; none if it can.
    pub no_keda: Option<&'static str>,
}

/// Values of one Secret by key. Never logged: `Debug` shows only the keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretValues(pub BTreeMap<String, Vec<u8>>);

impl Debug for SecretValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The platform as it is now: the copy that triggered a reconcile may be old.
///
/// # Errors
/// When the API server does not answer.
pub async fn platform(
    client: &Client,
    namespace: &str,
    name: &str,
) -> kube::Result<Option<DeserializeGuard<WalletPlatform>>> {
    Api::<DeserializeGuard<WalletPlatform>>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
}

/// The uid of the namespace kube-system, which identifies a cluster.
///
/// # Errors
/// When it can't be read.
pub async fn cluster_id(client: &Client) -> kube::Result<String> {
    let namespace = Api::<Namespace>::all(client.clone()).get("kube-system").await?;
    Ok(namespace.uid().unwrap_or_default())
}

/// The CA certificates that a spec refers to.
fn authorities(
    spec: &WalletPlatformSpec,
) -> impl Iterator<Item = (Option<&CaSecretRef>, Option<&CaConfigMapRef>)> {
    let database = &spec.database;
    let kafka = spec.kafka.tls.as_ref();
    let redis = spec.redis.as_ref();
    std::iter::once((
        database.ca_secret_ref.as_ref(),
        database.ca_config_map_ref.as_ref(),
    ))
    .chain(kafka.map(|tls| (tls.ca_secret_ref.as_ref(), tls.ca_config_map_ref.as_ref())))
    .chain(redis.map(|redis| (redis.ca_secret_ref.as_ref(), redis.ca_config_map_ref.as_ref())))
}

/// Names of the ConfigMaps that a spec refers to.
pub fn config_map_names(spec: &WalletPlatformSpec) -> impl Iterator<Item = &str> {
    authorities(spec).filter_map(|(_, reference)| Some(reference?.name.as_str()))
}

/// Names of the Secrets that a spec refers to.
pub fn secret_names(spec: &WalletPlatformSpec) -> impl Iterator<Item = &str> {
    let redis = spec.redis.as_ref().map(|redis| &redis.secret_ref);
    let authorities = authorities(spec).filter_map(|(reference, _)| reference);
    let variables = pods(spec)
        .flat_map(|pods| &pods.extra_env)
        .filter_map(|variable| {
            let reference = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
            Some(reference.name.as_str())
        });
    std::iter::once(&spec.database.secret_ref)
        .chain(&spec.database.read_secret_ref)
        .chain(redis)
        .map(|reference| reference.name.as_str())
        .chain(authorities.map(|reference| reference.name.as_str()))
        .chain(kafka_secret_names(&spec.kafka))
        .chain(variables)
}

fn kafka_secret_names(kafka: &KafkaSpec) -> impl Iterator<Item = &str> {
    let tls = kafka.tls.as_ref();
    let certificate = tls.and_then(|tls| Some(&tls.certificate_secret_ref.as_ref()?.name));
    let credentials = kafka.sasl.as_ref().map(|sasl| &sasl.secret_ref.name);
    [certificate, credentials]
        .into_iter()
        .flatten()
        .map(String::as_str)
}

/// The settings of all pods.
fn pods(spec: &WalletPlatformSpec) -> impl Iterator<Item = &PodsSpec> {
    let components = Component::ROLLOUT.into_iter();
    components
        .map(|component| &component.spec(spec).pods)
        .chain([&spec.jobs])
}

/// Reads Secrets, ConfigMaps and children of `platform`.
///
/// # Errors
/// When the API server does not answer.
pub async fn everything(client: &Client, platform: &WalletPlatform) -> kube::Result<Dereferenced> {
    let namespace = platform.namespace().unwrap_or_default();
    let name = platform.name_any();
    let secrets_api = Api::<Secret>::namespaced(client.clone(), &namespace);
    let mut secrets = BTreeMap::new();
    for secret in secret_names(&platform.spec).collect::<BTreeSet<_>>() {
        if let Some(found) = secrets_api.get_opt(secret).await? {
            let values = found
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, value.0))
                .collect();
            secrets.insert(secret.to_owned(), SecretValues(values));
        }
    }
    let config_maps_api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let mut named_config_maps = BTreeMap::new();
    for name in config_map_names(&platform.spec).collect::<BTreeSet<_>>() {
        if let Some(found) = config_maps_api.get_opt(name).await? {
            let text = found.data.unwrap_or_default().into_iter();
            let binary = found.binary_data.unwrap_or_default().into_iter();
            let values = text
                .map(|(key, value)| (key, value.into_bytes()))
                .chain(binary.map(|(key, value)| (key, value.0)))
                .collect();
            named_config_maps.insert(name.to_owned(), values);
        }
    }
    let mut found = children::read(client, &namespace, &name).await?;
    let mut foreign_autoscalers = std::mem::take(&mut found.others.autoscalers);
    foreign_autoscalers.retain(|found| found.spec.scale_target_ref.kind == "Deployment");
    // Pods only explain; the platform also runs without this information.
    let pods = children::list(client, &namespace, &name)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(
                error = api_error::short(&error),
                "could not list the pods of a platform"
            );
            Vec::new()
        });
    Ok(Dereferenced {
        secrets,
        config_maps: named_config_maps,
        no_service_monitors: found.why_no("ServiceMonitor"),
        no_keda: found.why_no("ScaledObject"),
        children: found.ours,
        foreign_autoscalers,
        pods,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_never_show_in_logs() {
        let values = SecretValues(BTreeMap::from([("url".to_owned(), b"hunter2".to_vec())]));
        assert_eq!(format!("{values:?}"), r#"{"url"}"#);
    }
}
