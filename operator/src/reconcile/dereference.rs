//! First stage: reads everything the later stages need to know. Performs I/O only; judges nothing, writes nothing.
//!
//! Invariant: all reads go to the API server, not to a cache, so a decision is never made on what was true a while ago.
//! Whatever is missing is reported as missing; only an API server that does not answer is an error.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::crd::{GROUP, WalletPlatform, WalletPlatformSpec};
use crate::names;

/// What exists around one platform.
#[derive(Clone, Debug, Default)]
pub struct Dereferenced {
    /// The named Secrets that exist, with their values.
    pub secrets: BTreeMap<String, SecretValues>,
    /// The children, by their labels.
    pub children: Children,
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

/// Names of the Secrets that a spec refers to.
pub fn secret_names(spec: &WalletPlatformSpec) -> impl Iterator<Item = &str> {
    std::iter::once(spec.database.secret_ref.name.as_str())
        .chain(spec.redis.as_ref().map(|redis| redis.secret_ref.name.as_str()))
}

/// Reads Secrets and children of `platform`.
///
/// # Errors
/// When the API server does not answer.
pub async fn run(client: &Client, platform: &WalletPlatform) -> kube::Result<Dereferenced> {
    let namespace = platform.namespace().unwrap_or_default();
    let name = platform.name_any();
    let secrets_api = Api::<Secret>::namespaced(client.clone(), &namespace);
    let mut secrets = BTreeMap::new();
    for secret in secret_names(&platform.spec) {
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
    let (deployments, services, config_maps, service_accounts, jobs, cron_jobs, budgets) = futures::try_join!(
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
        list(client, &namespace, &name),
    )?;
    let children = Children {
        deployments,
        services,
        config_maps,
        service_accounts,
        jobs,
        cron_jobs,
        budgets,
    };
    Ok(Dereferenced { secrets, children })
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
