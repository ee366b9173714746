//! Fourth stage: writes the manifests, in an order that matters, and only those that differ from what is there.
//!
//! Order: the ServiceAccount that pods need; the migration Job; Services and budgets, which select pods and harm none; and only
//! when the migration is done the ConfigMap, the CronJob and the Deployments with their autoscalers (`stages::autoscale`), readers before writers. So until a migration
//! succeeds, what ran before runs on with the settings it had.
//!
//! Invariants: a child that already is as stated is not written. "As stated" means that the manifest applied last is this one (by its hash,
//! so removed fields count too), that every field of it still has its value, **and** that nobody added to what is the operator's (`drift`).
//! A child that can't be written holds up only what needs it: the others are written all the same, and every error is told.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use wallex_crd::children::{Child, Children, PerKind, named, per_kind};
use wallex_crd::names::{self, Component, MANIFEST_HASH};
use wallex_crd::rollout::{has_no_pods, image, replaced};

use super::migrate::Migration;
use crate::reconcile::build::{self, Manifests, Names};
use crate::reconcile::children::{Ownership, ownership};
use crate::reconcile::conditions::{Problem, Reason};
use crate::reconcile::drift::matching;
use crate::reconcile::drift::{self, Found};
use crate::reconcile::validate::ValidatedPlatform;
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
            Self::Write(error) if error.is_invalid() => Reason::ManifestInvalid,
            Self::Write(WriteError::Refused { .. }) => Reason::ApplyFailed,
            Self::NameTaken { .. } => Reason::NameTaken,
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
    pub report: Mutex<Report>,
}

/// What there is to say of an apply.
#[derive(Default)]
pub struct Report {
    /// What could not be written, the first one first.
    pub errors: Vec<ApplyError>,
    /// Children that others had changed, `Kind name`, with what was put back.
    pub put_back: Vec<(String, Vec<Found>)>,
    /// The same with what stays: it is no business of the operator's, or it came back in the very write that took it away.
    pub left: Vec<(String, Vec<Found>)>,
    /// The same with what somebody changes again and again: it is put back only so often.
    pub fought: Vec<(String, Vec<Found>)>,
}

impl Report {
    /// Whether an error says that nothing more can be written now, by no fault of the platform.
    fn ends(&self) -> bool {
        self.errors.iter().any(|error| error.problem().is_none())
    }

    /// What went wrong, as one problem: the reason is the first one's that waiting does not mend, and every message is told.
    pub fn problem(&self) -> Option<Problem> {
        let problems: Vec<Problem> = self.errors.iter().filter_map(ApplyError::problem).collect();
        let lasting = problems.iter().find(|problem| problem.reason.is_stalling());
        let reason = lasting.or(problems.first())?.reason;
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Some(Problem::new(reason, messages.join("; ")))
    }

    /// The error that decides when it is tried again; none when nothing failed.
    pub fn into_error(self) -> Option<ApplyError> {
        let place = self.errors.iter().position(|error| error.problem().is_none());
        self.errors.into_iter().nth(place.unwrap_or(0))
    }
}

impl Applier<'_> {
    pub(in crate::reconcile) fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error, and goes on without what failed.
    fn noted<T>(&self, result: Result<T, ApplyError>) -> Option<T> {
        result.map_err(|error| self.report().errors.push(error)).ok()
    }

    /// Makes a child what it shall be; an error is noted. None: it is not.
    async fn child<K: Child>(&self, wanted: &K) -> Option<K> {
        if self.report().ends() {
            return None;
        }
        let result = self.ensure(wanted).await;
        self.noted(result)
    }

    /// The migration Job and what its pods need. A Job that exists is never changed: its template can't be.
    pub async fn migration(&self, manifests: &Manifests, migration: &Migration) {
        let account = &manifests.service_account;
        if self.child(account).await.is_none() {
            return;
        }
        let wanted = &manifests.migration;
        let live = named(&self.children.jobs, &wanted.name_any());
        let replaced = match migration {
            Migration::Missing => {
                self.child(wanted).await;
                false
            }
            Migration::Failed { retry: true } => true,
            // A word that somebody has given since need not wait.
            Migration::Running { .. } | Migration::Failed { retry: false } => {
                live.is_some_and(|live| build::expects_history(live) && !build::expects_history(wanted))
            }
            Migration::Succeeded => false,
        };
        let Some(live) = live else { return };
        if replaced {
            let deleted = self.writes.delete(live).await;
            self.noted(deleted.map_err(ApplyError::from));
        } else if matches!(migration, Migration::Running { .. }) {
            let resumed = self.as_it_was_made(wanted, live).await;
            self.noted(resumed);
        }
    }

    /// Takes from a Job what others added, such as its suspension. All else of a Job stays as it was made.
    async fn as_it_was_made(&self, wanted: &Job, live: &Job) -> Result<(), ApplyError> {
        let drift = drift::compare(&build::told_as(wanted, live), live);
        if drift.strays.is_empty() || !drift.changed.is_empty() {
            return Ok(());
        }
        let version = live.resource_version().unwrap_or_default();
        self.writes.put_back(live, drift.patch(&version)).await?;
        let told = others_only(drift.strays);
        if !told.is_empty() {
            self.report()
                .put_back
                .push((format!("Job {}", live.name_any()), told));
        }
        Ok(())
    }

    /// What needs no migrated database. While the `workloads` do not follow, what they connect to now stays open to them.
    pub async fn network(&self, manifests: &Manifests, workloads: bool) {
        for service in &manifests.services {
            self.child(service).await;
        }
        for budget in &manifests.budgets {
            self.child(budget).await;
        }
        if let Some(policy) = &manifests.network_policy {
            let live = named(&self.children.network_policies, &policy.name_any());
            let policy = match live.filter(|_| !workloads) {
                Some(live) => build::widened(policy, live),
                None => policy.clone(),
            };
            self.child(&policy).await;
        }
    }

    /// What needs the migrated database. Returns the Deployments as they now are; those held back, and those that could not be written,
    /// as they were.
    pub async fn workloads(&self, manifests: &Manifests) -> Vec<Deployment> {
        // Pods are started with these settings, so without them no pod is replaced.
        let settings = self.child(&manifests.config_map).await;
        if settings.is_none() {
            return self.children.deployments.clone();
        }
        self.child(&manifests.maintain).await;
        let mut deployments = Vec::new();
        for (component, wanted) in &manifests.deployments {
            let live = named(&self.children.deployments, &wanted.name_any());
            if *component == Component::Command
                && let Some(live) = live
                && held_back(live, wanted, &deployments)
            {
                tracing::info!(name = wanted.name_any(), "waits for the readers of the new image");
                deployments.push(live.clone());
                continue;
            }
            deployments.extend(self.deployment(*component, wanted, manifests).await);
        }
        deployments
    }

    /// One component; when it can't be written, as it was.
    async fn deployment(
        &self,
        component: Component,
        wanted: &Deployment,
        manifests: &Manifests,
    ) -> Option<Deployment> {
        let live = || named(&self.children.deployments, &wanted.name_any()).cloned();
        if self.report().ends() {
            return live();
        }
        let result = self.component(component, wanted, manifests).await;
        self.noted(result).or_else(live)
    }

    /// What only watches the workloads.
    pub async fn monitors(&self, manifests: &Manifests) {
        if let Some(monitor) = &manifests.service_monitor {
            self.child(monitor).await;
        }
        if let Some(dashboards) = &manifests.dashboards {
            self.child(dashboards).await;
        }
    }

    /// Takes all pods of a suspended platform away, one component after the other: each waits until the one before has none left, so
    /// that what the command wrote last is still published and projected, and read. Returns the Deployments as they now are.
    pub async fn stop(&self, manifests: &Manifests) -> Vec<Deployment> {
        self.child(&manifests.maintain).await;
        let mut deployments: Vec<Deployment> = Vec::new();
        let mut gone = true;
        for component in Component::STOP {
            for (_, wanted) in manifests.deployments.iter().filter(|(of, _)| *of == component) {
                let live = named(&self.children.deployments, &wanted.name_any());
                let now = match live {
                    Some(live) if !gone => Some(live.clone()),
                    Some(_) | None => self.deployment(component, wanted, manifests).await,
                };
                gone = gone && now.as_ref().is_some_and(has_no_pods);
                deployments.extend(now);
            }
        }
        deployments
    }

    /// Removes children that are no longer wanted: other migrations (once this one is done), and whatever an earlier version
    /// of the operator made under another name.
    pub async fn orphans(&self, manifests: &Manifests) {
        let removed = self.remove_orphans(manifests).await;
        self.noted(removed);
    }

    async fn remove_orphans(&self, manifests: &Manifests) -> Result<(), ApplyError> {
        let mut orphans = Orphans {
            applier: self,
            wanted: manifests.names(),
            removals: Vec::new(),
        };
        per_kind(&mut orphans);
        for removal in orphans.removals {
            removal.await?;
        }
        Ok(())
    }

    /// Applies `wanted` unless it is there already, and returns it as it is.
    pub(in crate::reconcile) async fn ensure<K: Child>(&self, wanted: &K) -> Result<K, ApplyError> {
        let wanted = stamped(wanted);
        let name = wanted.name_any();
        if let Some(live) = named(K::of(self.children), &name) {
            let drift = drift::compare(&wanted, live);
            let child = format!("{} {name}", K::kind(&()));
            if as_stated(&wanted, live) && drift.strays.is_empty() {
                self.leave(child, drift.left);
                return Ok(live.clone());
            }
            self.refuse_foreign(live)?;
            // A new manifest is written whoever fights; the same one only so often.
            let is_new = manifest_hash(&wanted) != manifest_hash(live);
            let key = format!("{}/{child}", self.platform.uid);
            if !is_new && !self.writes.may_put_back(&key) {
                let told = others_only(drift.put_back());
                if !told.is_empty() {
                    self.report().fought.push((child, told));
                }
                return Ok(live.clone());
            }
            return self.mend(&wanted, live, &drift, child).await;
        }
        // Not among our children by label: it is missing, it lost its labels, or it is somebody else's.
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.platform.namespace);
        let existing = api.get_opt(&name).await.map_err(|source| ApplyError::Read {
            kind: K::kind(&()).into_owned(),
            name: name.clone(),
            source: Box::new(source),
        })?;
        let Some(existing) = existing else {
            return Ok(self.writes.apply(&wanted).await?);
        };
        if ownership(existing.meta(), &self.platform.name, &self.platform.uid) == Ownership::Unowned
            && manifest_hash(&existing).is_none()
        {
            return Err(taken::<K>(&name));
        }
        self.refuse_foreign(&existing)?;
        let drift = drift::compare(&wanted, &existing);
        self.mend(&wanted, &existing, &drift, format!("{} {name}", K::kind(&())))
            .await
    }

    /// Makes a child of ours what it shall be, whatever others made of it.
    async fn mend<K: Child>(
        &self,
        wanted: &K,
        live: &K,
        drift: &drift::Drift,
        child: String,
    ) -> Result<K, ApplyError> {
        if drift.is_sealed() {
            self.writes.delete(live).await?;
        } else if !drift.strays.is_empty() {
            let version = live.meta().resource_version.clone().unwrap_or_default();
            let put_back = self.writes.put_back(live, drift.patch(&version)).await?;
            if put_back.is_none() {
                // It was changed since it was read, which calls for another look anyway.
                return Ok(live.clone());
            }
        }
        let applied = self.writes.apply(wanted).await?;
        // With a new manifest values differ anyway.
        let told = if manifest_hash(wanted) == manifest_hash(live) {
            drift.put_back()
        } else {
            drift.strays.clone()
        };
        let told = others_only(told);
        let again = drift::compare(wanted, &applied);
        let mut left = again.left;
        left.extend(again.strays);
        if !told.is_empty() {
            self.report().put_back.push((child.clone(), told));
        }
        self.leave(child, left);
        Ok(applied)
    }

    fn leave(&self, child: String, left: Vec<Found>) {
        let left = others_only(left);
        if !left.is_empty() {
            self.report().left.push((child, left));
        }
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

/// The removals of what is no longer wanted, each to be awaited before the next.
struct Orphans<'a> {
    applier: &'a Applier<'a>,
    wanted: Names,
    removals: Vec<BoxFuture<'a, Result<(), WriteError>>>,
}

impl PerKind for Orphans<'_> {
    fn kind<K: Child>(&mut self) {
        let Applier {
            writes,
            platform,
            children,
            ..
        } = self.applier;
        for object in K::of(children) {
            let ours = ownership(object.meta(), &platform.name, &platform.uid) == Ownership::Ours;
            let going = object.meta().deletion_timestamp.is_some();
            if ours && !going && !self.wanted.has(object) {
                self.removals.push(writes.delete(object).boxed());
            }
        }
    }
}

/// Without what is known to be the operator's own, of an earlier write.
fn others_only(found: Vec<Found>) -> Vec<Found> {
    found.into_iter().filter(|found| !found.ours).collect()
}

fn manifest_hash<K: Resource>(object: &K) -> Option<&String> {
    object.meta().annotations.as_ref()?.get(MANIFEST_HASH)
}

fn taken<K: Resource<DynamicType = ()>>(name: &str) -> ApplyError {
    ApplyError::NameTaken {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
    }
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

/// What others added to the children: all that an apply would put back or leave.
pub fn edited(manifests: &Manifests, children: &Children) -> Vec<(String, Vec<Found>)> {
    fn one<K: Child>(wanted: &K, children: &Children) -> Option<(String, Vec<Found>)> {
        let name = wanted.meta().name.as_deref()?;
        let drift = drift::compare(wanted, named(K::of(children), name)?);
        let edited = others_only(drift.strays.into_iter().chain(drift.left).collect());
        (!edited.is_empty()).then(|| (format!("{} {name}", K::kind(&())), edited))
    }
    let deployments = manifests.deployments.iter();
    deployments
        .filter_map(|(_, wanted)| one(wanted, children))
        .chain(
            manifests
                .services
                .iter()
                .filter_map(|wanted| one(wanted, children)),
        )
        .chain(one(&manifests.config_map, children))
        .chain(one(&manifests.maintain, children))
        .collect()
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
/// to reach the command even while a reader is unwell. A reader that could not be given the new image is an older one too.
fn held_back(live: &Deployment, wanted: &Deployment, readers: &[Deployment]) -> bool {
    let is_older = |reader: &Deployment| image(reader) != image(wanted) || !replaced(reader);
    image(live) != image(wanted) && readers.iter().any(is_older)
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
