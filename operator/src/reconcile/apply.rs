//! Fourth stage: writes the manifests, in an order that matters, and only those that differ from what is there.
//!
//! Order: the ServiceAccount that pods need; the migration Job; Services and budgets, which select pods and harm none; and only
//! when the migration is done the ConfigMap, the CronJob and the Deployments with their autoscalers (`handover`), readers before writers. So until a migration
//! succeeds, what ran before runs on with the settings it had.
//!
//! Invariant: a child that already is as stated is not written. "As stated" means that the manifest applied last is
//! this one (by its hash, so removed fields count too) **and** that every field of it still has its value (so drift counts too).

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::{Serialize, de::DeserializeOwned};

use super::build::{self, Manifests};
use super::conditions::{Problem, reasons};
use super::dereference::{Children, Ownership, named, ownership};
use super::matching;
use super::migration::Migration;
use super::validate::ValidatedPlatform;
use crate::names::{self, Component, MANIFEST_HASH};
use crate::writes::{WriteError, Writes};

/// A child that could not be made what it shall be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("could not read {kind} {name}: {source}")]
    Read {
        kind: String,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{kind} {name} exists and belongs to something else: rename the platform, or remove it")]
    NameTaken { kind: String, name: String },
}

impl ApplyError {
    /// As a problem of the platform; none when it says nothing about the platform.
    pub fn problem(&self) -> Option<Problem> {
        let reason = match self {
            Self::Write(WriteError::NotLeader(_)) | Self::Read { .. } => return None,
            Self::Write(WriteError::Refused { .. }) => reasons::APPLY_FAILED,
            Self::NameTaken { .. } => reasons::NAME_TAKEN,
        };
        Some(Problem::new(reason, self.to_string()))
    }
}

/// Applies what belongs to one platform.
pub struct Applier<'a> {
    pub client: &'a Client,
    pub writes: &'a Writes,
    pub platform: &'a ValidatedPlatform,
    pub children: &'a Children,
}

impl Applier<'_> {
    /// The migration Job and what its pods need. A Job that exists is never changed: its template can't be.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn migration(&self, manifests: &Manifests, migration: &Migration) -> Result<(), ApplyError> {
        self.ensure(&manifests.service_account, &self.children.service_accounts)
            .await?;
        let wanted = &manifests.migration;
        let live = named(&self.children.jobs, &wanted.name_any());
        let replaced = match migration {
            Migration::Missing => {
                self.ensure(wanted, &[]).await?;
                false
            }
            Migration::Failed { retry: true } => true,
            // A word that somebody has given since need not wait.
            Migration::Running { .. } | Migration::Failed { retry: false } => {
                live.is_some_and(|live| build::expects_history(live) && !build::expects_history(wanted))
            }
            Migration::Succeeded => false,
        };
        if let Some(job) = live.filter(|_| replaced) {
            self.writes.delete(job).await?;
        }
        Ok(())
    }

    /// What needs no migrated database. While the `workloads` do not follow, what they connect to now stays open to them.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn network(&self, manifests: &Manifests, workloads: bool) -> Result<(), ApplyError> {
        for service in &manifests.services {
            self.ensure(service, &self.children.services).await?;
        }
        for budget in &manifests.budgets {
            self.ensure(budget, &self.children.budgets).await?;
        }
        if let Some(policy) = &manifests.network_policy {
            let live = named(&self.children.network_policies, &policy.name_any());
            let policy = match live.filter(|_| !workloads) {
                Some(live) => build::widened(policy, live),
                None => policy.clone(),
            };
            self.ensure(&policy, &self.children.network_policies).await?;
        }
        Ok(())
    }

    /// What needs the migrated database. Returns the Deployments as they now are; those held back as they were.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn workloads(&self, manifests: &Manifests) -> Result<Vec<Deployment>, ApplyError> {
        self.ensure(&manifests.config_map, &self.children.config_maps)
            .await?;
        self.ensure(&manifests.maintain, &self.children.cron_jobs).await?;
        let mut deployments = Vec::new();
        for (component, wanted) in &manifests.deployments {
            let live = named(&self.children.deployments, &wanted.name_any());
            match live {
                Some(live) if *component == Component::Command && held_back(live, wanted, &deployments) => {
                    tracing::info!(name = wanted.name_any(), "waits for the readers of the new image");
                    deployments.push(live.clone());
                }
                _ => deployments.push(self.component(*component, wanted, manifests).await?),
            }
        }
        Ok(deployments)
    }

    /// What only watches the workloads.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn monitors(&self, manifests: &Manifests) -> Result<(), ApplyError> {
        if let Some(monitor) = &manifests.service_monitor {
            self.ensure(monitor, &self.children.service_monitors).await?;
        }
        if let Some(dashboards) = &manifests.dashboards {
            self.ensure(dashboards, &self.children.config_maps).await?;
        }
        Ok(())
    }

    /// Takes all pods of a suspended platform away, one component after the other: each waits until the one before has none left, so
    /// that what the command wrote last is still published and projected, and read. Returns the Deployments as they now are.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn stop(&self, manifests: &Manifests) -> Result<Vec<Deployment>, ApplyError> {
        self.ensure(&manifests.maintain, &self.children.cron_jobs).await?;
        let mut deployments = Vec::new();
        let mut gone = true;
        for component in Component::STOP {
            for (_, wanted) in manifests.deployments.iter().filter(|(of, _)| *of == component) {
                let live = named(&self.children.deployments, &wanted.name_any());
                let now = match live {
                    Some(live) if !gone => live.clone(),
                    Some(_) | None => self.component(component, wanted, manifests).await?,
                };
                gone = gone && has_no_pods(&now);
                deployments.push(now);
            }
        }
        Ok(deployments)
    }

    /// Removes children that are no longer wanted: other migrations (once this one is done), and whatever an earlier version
    /// of the operator made under another name.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub async fn orphans(&self, manifests: &Manifests) -> Result<(), ApplyError> {
        let Manifests {
            service_account,
            migration,
            config_map,
            services,
            budgets,
            network_policy,
            maintain,
            deployments,
            // Those of components are seen to with their Deployments.
            scalers: _,
            service_monitor,
            dashboards,
        } = manifests;
        let deployments: Vec<String> = deployments.iter().map(|(_, wanted)| wanted.name_any()).collect();
        self.remove_others(&self.children.deployments, &deployments)
            .await?;
        self.remove_others(&self.children.scaled_objects, &deployments)
            .await?;
        self.remove_others(&self.children.autoscalers, &deployments)
            .await?;
        self.remove_others(&self.children.trigger_authentications, &[])
            .await?;
        self.remove_others(&self.children.services, &all_names(services))
            .await?;
        self.remove_others(&self.children.budgets, &all_names(budgets))
            .await?;
        self.remove_others(
            &self.children.network_policies,
            &all_names(network_policy.as_slice()),
        )
        .await?;
        self.remove_others(
            &self.children.service_monitors,
            &all_names(service_monitor.as_slice()),
        )
        .await?;
        let mut config_maps = all_names(dashboards.as_slice());
        config_maps.push(config_map.name_any());
        self.remove_others(&self.children.config_maps, &config_maps)
            .await?;
        self.remove_others(&self.children.service_accounts, &[service_account.name_any()])
            .await?;
        self.remove_others(&self.children.cron_jobs, &[maintain.name_any()])
            .await?;
        self.remove_others::<Job>(&self.children.jobs, &[migration.name_any()])
            .await
    }

    async fn remove_others<K>(&self, live: &[K], wanted: &[String]) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        for object in live {
            let ours = ownership(object.meta(), &self.platform.name, &self.platform.uid) == Ownership::Ours;
            let going = object.meta().deletion_timestamp.is_some();
            if ours && !going && !wanted.contains(&object.name_any()) {
                self.writes.delete(object).await?;
            }
        }
        Ok(())
    }

    /// Applies `wanted` unless it is there already, and returns it as it is.
    pub(super) async fn ensure<K>(&self, wanted: &K, live: &[K]) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let wanted = stamped(wanted);
        let name = wanted.name_any();
        if let Some(live) = named(live, &name) {
            if as_stated(&wanted, live) {
                return Ok(live.clone());
            }
            self.refuse_foreign(live)?;
        } else {
            // Not among our children by label: it is missing, it lost its labels, or it is somebody else's.
            let api: Api<K> = Api::namespaced(self.client.clone(), &self.platform.namespace);
            let existing = api.get_opt(&name).await.map_err(|source| ApplyError::Read {
                kind: K::kind(&()).into_owned(),
                name: name.clone(),
                source: Box::new(source),
            })?;
            if let Some(existing) = existing {
                let manifest_hash = existing.annotations().contains_key(MANIFEST_HASH);
                if ownership(existing.meta(), &self.platform.name, &self.platform.uid) == Ownership::Unowned
                    && !manifest_hash
                {
                    return Err(taken::<K>(&name));
                }
                self.refuse_foreign(&existing)?;
            }
        }
        Ok(self.writes.apply(&wanted).await?)
    }

    fn refuse_foreign<K: Resource<DynamicType = ()>>(&self, live: &K) -> Result<(), ApplyError> {
        match ownership(live.meta(), &self.platform.name, &self.platform.uid) {
            Ownership::Ours | Ownership::Unowned => Ok(()),
            Ownership::Predecessor | Ownership::Other => {
                Err(taken::<K>(live.meta().name.as_deref().unwrap_or_default()))
            }
        }
    }
}

fn taken<K: Resource<DynamicType = ()>>(name: &str) -> ApplyError {
    ApplyError::NameTaken {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
    }
}

fn all_names<K: Resource>(objects: &[K]) -> Vec<String> {
    objects
        .iter()
        .filter_map(|object| object.meta().name.clone())
        .collect()
}

/// The manifest with its own hash as an annotation.
fn stamped<K: Resource + Clone + Serialize>(manifest: &K) -> K {
    let mut stamped = manifest.clone();
    // Keys are sorted by serde_json's map, so equal manifests give equal text.
    let text = serde_json::to_value(manifest)
        .map(|value| value.to_string())
        .unwrap_or_default();
    let hash = names::short_hash([text.as_bytes()], 16);
    stamped
        .meta_mut()
        .annotations
        .get_or_insert_default()
        .insert(MANIFEST_HASH.to_owned(), hash);
    stamped
}

/// Whether `live` is what applying `manifest` makes of it.
pub fn is_applied<K: Resource + Clone + Serialize>(manifest: &K, live: &K) -> bool {
    as_stated(&stamped(manifest), live)
}

/// Whether every field of `wanted`, its hash included, is in `live` with its value.
fn as_stated<K: Serialize>(wanted: &K, live: &K) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(live)) {
        (Ok(wanted), Ok(live)) => matching::contains(&live, &wanted),
        _ => false,
    }
}

/// Whether the command, which writes, must keep its image because pods of some reader still run an older one.
///
/// Only a change of image is held back: it alone may bring events that an older reader does not know. Anything else must be able
/// to reach the command even while a reader is unwell.
fn held_back(live: &Deployment, wanted: &Deployment, readers: &[Deployment]) -> bool {
    image(live) != image(wanted) && readers.iter().any(|reader| !replaced(reader))
}

/// Whether all pods of a Deployment are there and of its present template.
pub fn replaced(deployment: &Deployment) -> bool {
    let desired = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref();
    let updated = status.and_then(|status| status.updated_replicas);
    all_present(deployment) && updated.unwrap_or_default() >= desired
}

/// Whether those pods of a Deployment that are there are of its present template.
pub fn all_present(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.replicas.unwrap_or_default() == status.updated_replicas.unwrap_or_default()
}

/// Whether a Deployment was told to have no pods and has none.
pub fn has_no_pods(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    deployment.spec.replicas == Some(0)
        && status.observed_generation >= deployment.metadata.generation
        && status.replicas.unwrap_or_default() == 0
        && status.terminating_replicas.unwrap_or_default() == 0
}

/// Image of a Deployment's container.
pub fn image(deployment: &Deployment) -> Option<&str> {
    deployment
        .spec
        .template
        .spec
        .as_ref()?
        .containers
        .first()?
        .image
        .as_deref()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    fn deployment(image: &str, updated: i32, all: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "demo-query", "generation": 3},
            "spec": {
                "replicas": 2,
                "selector": {},
                "template": {"spec": {"containers": [{"name": "wallex", "image": image}]}},
            },
            "status": {"observedGeneration": 3, "updatedReplicas": updated, "replicas": all},
        }))
        .unwrap()
    }

    #[test]
    fn a_new_image_reaches_the_command_after_the_last_old_reader_is_gone() {
        let (old, new) = (deployment("v1", 2, 2), deployment("v2", 2, 2));
        assert!(held_back(&old, &new, &[deployment("v2", 2, 3)]));
        assert!(held_back(&old, &new, &[deployment("v2", 1, 2)]));
        assert!(!held_back(&old, &new, &[deployment("v2", 2, 2)]));
    }

    #[test]
    fn readers_hold_back_nothing_but_an_image() {
        let command = deployment("v1", 2, 2);
        assert!(!held_back(&command, &command, &[deployment("v1", 1, 3)]));
    }

    #[test]
    fn a_reader_whose_change_was_not_even_seen_yet_is_not_replaced() {
        let mut reader = deployment("v2", 2, 2);
        reader.metadata.generation = Some(4);
        assert!(!replaced(&reader));
    }

    #[test]
    fn a_manifest_is_as_stated_only_with_its_own_hash_and_all_its_values() {
        let wanted = stamped(&deployment("v1", 0, 0));
        assert!(as_stated(&wanted, &wanted));
        let mut drifted = wanted.clone();
        drifted.spec.replicas = Some(7);
        assert!(!as_stated(&wanted, &drifted));
        let mut removed = deployment("v1", 0, 0);
        removed.spec.paused = Some(true);
        assert!(
            !as_stated(&wanted, &stamped(&removed)),
            "a field was removed from the manifest"
        );
    }
}
