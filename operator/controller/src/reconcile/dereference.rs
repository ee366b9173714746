//! First stage: reads everything the later stages need to know. Performs I/O only; judges nothing, writes nothing.
//!
//! Invariant: all reads go to the API server, not to a cache, so a decision is never made on what was true a while ago.
//! Whatever is missing is reported as missing; only an API server that does not answer is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use wallex_crd::api_error;
use wallex_crd::names;
use wallex_crd::{
    CaConfigMapRef, CaSecretRef, GROUP, KafkaSpec, PodsSpec, WalletPlatform, WalletPlatformSpec,
};

use crate::kinds::{ScaledObject, ServiceMonitor, TriggerAuthentication};

/// What exists around one platform.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// The named Secrets that exist, with their values.
    pub secrets: BTreeMap<String, SecretValues>,
    /// The named ConfigMaps that exist, with their values. The platform's own is among the children.
    pub config_maps: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// The children, by their labels.
    pub children: Children,
    /// Autoscalers of the namespace that scale Deployments and are not this platform's.
    pub foreign_autoscalers: Vec<HorizontalPodAutoscaler>,
    /// All pods of the platform: what they show is said in the conditions, and nothing is decided on it.
    pub pods: Vec<Pod>,
    /// Why there can be no ServiceMonitors in this cluster; none when there can.
    pub no_service_monitors: Option<&'static str>,
    /// Why KEDA can't scale in this cluster; none when it can.
    pub no_keda: Option<&'static str>,
}

/// Values of one Secret by key. Never logged: `Debug` shows the keys alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretValues(pub BTreeMap<String, Vec<u8>>);

impl Debug for SecretValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The children of one platform as they are.
#[derive(Clone, Debug, Default)]
pub struct Children {
    pub deployments: Vec<Deployment>,
    pub services: Vec<Service>,
    pub config_maps: Vec<ConfigMap>,
    pub service_accounts: Vec<ServiceAccount>,
    pub jobs: Vec<Job>,
    pub cron_jobs: Vec<CronJob>,
    pub budgets: Vec<PodDisruptionBudget>,
    pub network_policies: Vec<NetworkPolicy>,
    pub service_monitors: Vec<ServiceMonitor>,
    /// KEDA's own are among them: they have their ScaledObject's labels, and belong to it.
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    pub scaled_objects: Vec<ScaledObject>,
    pub trigger_authentications: Vec<TriggerAuthentication>,
}

/// Whose an object is, by its controller's owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This very platform's.
    Ours,
    /// A platform of this name that was deleted; Kubernetes is about to collect the object.
    Predecessor,
    /// Nobody's: its owner was deleted with `--cascade=orphan`.
    Unowned,
    /// Something else's.
    Other,
}

/// Whose the object with this metadata is, seen from the platform `name` with uid `uid`.
pub fn ownership(metadata: &ObjectMeta, name: &str, uid: &str) -> Ownership {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    match owners.iter().find(|owner| owner.controller == Some(true)) {
        None => Ownership::Unowned,
        Some(owner) if owner.uid == uid => Ownership::Ours,
        Some(owner)
            if owner.kind == "WalletPlatform"
                && owner.name == name
                && owner.api_version.split('/').next() == Some(GROUP) =>
        {
            Ownership::Predecessor
        }
        Some(_) => Ownership::Other,
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

/// The uid of the namespace kube-system: what a cluster is known by.
///
/// # Errors
/// When it can't be read.
pub async fn cluster_id(client: &Client) -> kube::Result<String> {
    let namespace = Api::<Namespace>::all(client.clone()).get("kube-system").await?;
    Ok(namespace.uid().unwrap_or_default())
}

/// Where the certificates of authorities are that a spec refers to.
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
    [
        &spec.command.component.pods,
        &spec.publisher.pods,
        &spec.projectors.ledger.component.pods,
        &spec.projectors.read_model.component.pods,
        &spec.query.component.pods,
        &spec.jobs,
    ]
    .into_iter()
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
    let (
        deployments,
        services,
        config_maps,
        service_accounts,
        jobs,
        cron_jobs,
        budgets,
        network_policies,
        (autoscalers, foreign_autoscalers),
    ) = futures::try_join!(
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        autoscalers(client, &namespace, &name),
    )?;
    let (service_monitors, no_service_monitors) =
        optional(client, &namespace, &name, &SERVICE_MONITORS).await?;
    let (scaled_objects, no_keda) = optional(client, &namespace, &name, &SCALED_OBJECTS).await?;
    // Where there are no ScaledObjects nothing needs to be known of these.
    let (trigger_authentications, _) = match no_keda {
        None => optional(client, &namespace, &name, &SCALED_OBJECTS).await?,
        Some(_) => Default::default(),
    };
    // They only explain; without them a platform runs as well.
    let pods = list(client, &namespace, &name).await.unwrap_or_else(|error| {
        tracing::warn!(
            error = api_error::short(&error),
            "could not list the pods of a platform"
        );
        Vec::new()
    });
    let children = Children {
        deployments,
        services,
        config_maps,
        service_accounts,
        jobs,
        cron_jobs,
        budgets,
        network_policies,
        service_monitors,
        autoscalers,
        scaled_objects,
        trigger_authentications,
    };
    Ok(Dereferenced {
        secrets,
        config_maps: named_config_maps,
        children,
        foreign_autoscalers,
        pods,
        no_service_monitors,
        no_keda,
    })
}

/// A resource that is not Kubernetes' own, and what is said where it can't be read.
struct Foreign {
    not_served: &'static str,
    forbidden: &'static str,
}

const SERVICE_MONITORS: Foreign = Foreign {
    not_served: "this cluster has no ServiceMonitors: install the Prometheus Operator's resource definitions",
    forbidden: "the operator may not read ServiceMonitors: upgrade its chart, or grant it the rule",
};
const SCALED_OBJECTS: Foreign = Foreign {
    not_served: "this cluster has no ScaledObjects: install KEDA",
    forbidden: "the operator may not read ScaledObjects and TriggerAuthentications: upgrade its chart, or grant it the rule",
};

/// The children of a kind that a cluster may lack, or why there can be none: a platform runs without it.
async fn optional<K>(
    client: &Client,
    namespace: &str,
    platform: &str,
    resource: &Foreign,
) -> kube::Result<(Vec<K>, Option<&'static str>)>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    match list(client, namespace, platform).await {
        Ok(found) => Ok((found, None)),
        Err(kube::Error::Api(status)) if is_not_served(&status) => {
            Ok((Vec::new(), Some(resource.not_served)))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok((Vec::new(), Some(resource.forbidden))),
        Err(error) => Err(error),
    }
}

/// Whether the API server does not know the resource at all. It says so in plain text then, so there is no reason to go by.
fn is_not_served(status: &kube::core::Status) -> bool {
    status.code == 404
}

/// The autoscalers of a platform, and those of others that scale a Deployment of the same namespace.
async fn autoscalers(
    client: &Client,
    namespace: &str,
    platform: &str,
) -> kube::Result<(Vec<HorizontalPodAutoscaler>, Vec<HorizontalPodAutoscaler>)> {
    let api = Api::<HorizontalPodAutoscaler>::namespaced(client.clone(), namespace);
    let all = api.list(&ListParams::default()).await?.items;
    let (ours, mut others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|found| names::is_child_of(found.labels(), platform));
    others.retain(|found| found.spec.scale_target_ref.kind == "Deployment");
    Ok((ours, others))
}

async fn list<K>(client: &Client, namespace: &str, platform: &str) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&names::children_of(platform));
    Ok(api.list(&params).await?.items)
}

impl Children {
    /// The metadata of all of them with their kinds.
    pub fn metadata(&self) -> impl Iterator<Item = (&'static str, &ObjectMeta)> {
        fn of<'a, K: Resource>(
            kind: &'static str,
            objects: &'a [K],
        ) -> impl Iterator<Item = (&'static str, &'a ObjectMeta)> {
            objects.iter().map(move |object| (kind, object.meta()))
        }
        of("Deployment", &self.deployments)
            .chain(of("Service", &self.services))
            .chain(of("ConfigMap", &self.config_maps))
            .chain(of("ServiceAccount", &self.service_accounts))
            .chain(of("Job", &self.jobs))
            .chain(of("CronJob", &self.cron_jobs))
            .chain(of("PodDisruptionBudget", &self.budgets))
            .chain(of("NetworkPolicy", &self.network_policies))
            .chain(of("ServiceMonitor", &self.service_monitors))
            .chain(of("HorizontalPodAutoscaler", &self.autoscalers))
            .chain(of("ScaledObject", &self.scaled_objects))
            .chain(of("TriggerAuthentication", &self.trigger_authentications))
    }

    /// A child of a deleted platform of the same name that Kubernetes has not collected yet: `Kind name`.
    pub fn predecessor(&self, name: &str, uid: &str) -> Option<String> {
        self.metadata()
            .find(|(_, metadata)| ownership(metadata, name, uid) == Ownership::Predecessor)
            .map(|(kind, metadata)| format!("{kind} {}", metadata.name.as_deref().unwrap_or_default()))
    }
}

/// The object of that name.
pub fn named<'a, K: Resource>(objects: &'a [K], name: &str) -> Option<&'a K> {
    objects
        .iter()
        .find(|object| object.meta().name.as_deref() == Some(name))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A real API server answers `404 page not found` as text when no definition of a resource is installed.
    #[tokio::test]
    async fn a_cluster_without_a_resource_is_told_by_a_404_in_plain_text() {
        for (status, body, readable) in [
            (404, "404 page not found\n", true),
            (
                403,
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}"#,
                true,
            ),
            (500, "no", false),
        ] {
            let answer = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
                let body = kube::client::Body::from(body.as_bytes().to_vec());
                let answer = http::Response::builder().status(status).body(body);
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            });
            let client = Client::new(answer, "wallex");
            let found = optional::<ScaledObject>(&client, "wallex", "demo", &SCALED_OBJECTS).await;
            assert_eq!(found.is_ok(), readable, "{status}");
            if let Ok((objects, why)) = found {
                assert!(objects.is_empty() && why.is_some());
            }
        }
    }

    fn owned_by(kind: &str, name: &str, uid: &str) -> ObjectMeta {
        serde_json::from_value(serde_json::json!({
            "name": "child",
            "ownerReferences": [
                {"apiVersion": "wallex.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_child_is_ours_by_uid_and_a_predecessors_by_name_alone() {
        assert_eq!(
            ownership(&owned_by("WalletPlatform", "demo", "new"), "demo", "new"),
            Ownership::Ours
        );
        assert_eq!(
            ownership(&owned_by("WalletPlatform", "demo", "old"), "demo", "new"),
            Ownership::Predecessor
        );
        assert_eq!(
            ownership(&owned_by("WalletPlatform", "else", "old"), "demo", "new"),
            Ownership::Other
        );
        assert_eq!(
            ownership(&owned_by("CronJob", "demo", "old"), "demo", "new"),
            Ownership::Other
        );
        assert_eq!(
            ownership(&ObjectMeta::default(), "demo", "new"),
            Ownership::Unowned
        );
    }

    #[test]
    fn secret_values_never_show_in_logs() {
        let values = SecretValues(BTreeMap::from([("url".to_owned(), b"hunter2".to_vec())]));
        assert_eq!(format!("{values:?}"), r#"{"url"}"#);
    }
}
