//! Writes the manifests in an order that matters.
//!
//! Order: the ServiceAccount that pods need; the migration Job; Services and budgets, which only select pods; then, once the
//! migration is done, the ConfigMap, the CronJob and the Deployments with their autoscalers (`autoscale`), readers before
//! writers; finally, whatever is no longer wanted is removed (`clean_up`). So until a migration succeeds, existing pods keep
//! running with their previous settings.

use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use wallex_crd::Component;
use wallex_crd::children::named;
use wallex_crd::rollout::{has_no_pods, image, replaced};

use super::child::Applier;
use super::gate::Gate;
use super::migrate::Migration;
use super::report::Report;
use crate::reconcile::Pass;
use crate::reconcile::build::{self, Manifests};

/// The result of an apply.
pub(in crate::reconcile) struct Applied {
    /// The Deployments as they are now.
    pub(in crate::reconcile) deployments: Vec<Deployment>,
    pub(in crate::reconcile) report: Report,
}

/// Applies as much as the migration and the gate allow.
pub(in crate::reconcile) async fn all(
    pass: &Pass<'_>,
    manifests: &Manifests,
    migration: &Migration,
    gate: Gate,
) -> Applied {
    let applier = Applier {
        client: &pass.context.client,
        writes: &pass.context.writes,
        platform: pass.platform,
        children: &pass.found.children,
        report: Mutex::default(),
    };
    let applied = in_order(&applier, manifests, migration, gate).await;
    Applied {
        deployments: applied.unwrap_or_else(|| pass.found.children.deployments.clone()),
        report: applier
            .report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
    }
}

/// None: the migration is not done, or the gate is not open.
async fn in_order(
    applier: &Applier<'_>,
    manifests: &Manifests,
    migration: &Migration,
    gate: Gate,
) -> Option<Vec<Deployment>> {
    if gate == Gate::Shut {
        return None;
    }
    applier.migration(manifests, migration).await;
    let migrated = *migration == Migration::Succeeded;
    let follow = migrated && gate == Gate::Open;
    applier.network(manifests, follow).await;
    // Pods are removed whether or not the database is migrated.
    let deployments = match (applier.platform.suspended, follow) {
        (true, _) => applier.stop(manifests).await,
        (false, true) => applier.workloads(manifests).await,
        (false, false) => return None,
    };
    if !migrated {
        return Some(deployments);
    }
    applier.monitors(manifests).await;
    applier.orphans(manifests).await;
    Some(deployments)
}

impl Applier<'_> {
    /// What needs no migrated database. While the `workloads` do not follow the spec, their present connections stay
    /// open.
    async fn network(&self, manifests: &Manifests, workloads: bool) {
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

    /// What needs the migrated database. Returns the Deployments as they are now; those held back or not written, as they were.
    pub async fn workloads(&self, manifests: &Manifests) -> Vec<Deployment> {
        // Pods start with these settings, so without them no pod is replaced.
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

    /// One component; as it was if it can't be written.
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
    async fn monitors(&self, manifests: &Manifests) {
        if let Some(monitor) = &manifests.service_monitor {
            self.child(monitor).await;
        }
        if let Some(dashboards) = &manifests.dashboards {
            self.child(dashboards).await;
        }
    }

    /// Removes all pods of a suspended platform, one component at a time: each waits until the previous one has no pods left, so
    /// that the command's last writes are still published, projected and readable. Returns the Deployments as they are now.
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
}

/// Whether the command, which writes, must keep its image because some reader's pods still run an older one.
///
/// Only an image change is held back: only that may introduce events that an older reader does not know. Any other change must
/// reach the command even while a reader is unhealthy. A reader that could not be updated to the new image counts as older.
fn held_back(live: &Deployment, wanted: &Deployment, readers: &[Deployment]) -> bool {
    let is_older = |reader: &Deployment| image(reader) != image(wanted) || !replaced(reader);
    image(live) != image(wanted) && readers.iter().any(is_older)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::stages::fixture::deployment;

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
}
