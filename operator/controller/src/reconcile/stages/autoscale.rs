//! Who decides how many pods a component has, the spec or an autoscaler, and how control passes between them.
//!
//! Kubernetes tracks the owner of every field. The number of pods falls back to 1 when its only owner stops stating it, so it is
//! never released before someone else owns it:
//! - **On**: the autoscaler is created; the present number is stated under a second name; then the operator stops stating it. A
//!   component at 0, which no autoscaler leaves on its own, first goes to the minimum.
//! - **Off**: the autoscaler is deleted; once it is gone, the number in the spec is applied by force, which takes ownership in
//!   the same write.
//! - **Another driver**: the old autoscaler is deleted; once it is gone, the new one is created. Nothing changes the number in
//!   between.
//! - **Suspended**: like off, with 0.
//! - **Foreign autoscaler** (`kubectl autoscale`, a user's ScaledObject): like on, but nothing is created; like off when it is
//!   gone.
//!
//! Invariants: every step follows from the present state, so after a crash between two steps the operator continues where it
//! stopped; while an autoscaler exists, the operator does not write the number of pods.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use wallex_crd::Component;
use wallex_crd::children::{Child, Children, named};
use wallex_crd::foreign::ScaledObject;
use wallex_crd::names::MANAGER;

use super::child::{self, Applier};
use super::report::ApplyError;
use crate::reconcile::build::{Manifests, Scaler};
use crate::reconcile::children::{Ownership, ownership};
use crate::reconcile::validate::ValidatedPlatform;

impl Applier<'_> {
    /// Brings a component's Deployment and its autoscaler to their desired state. Returns the Deployment as it is now.
    ///
    /// # Errors
    /// See [`ApplyError`].
    pub(in crate::reconcile) async fn component(
        &self,
        component: Component,
        wanted: &Deployment,
        manifests: &Manifests,
    ) -> Result<Deployment, ApplyError> {
        let scaler = manifests.scaler(component);
        self.delete_others(wanted, scaler).await?;
        let settled = obstacle(self.platform, self.children, component, scaler).is_none();
        let mut wanted = wanted.clone();
        if !settled {
            // An autoscaler that is being deleted may still write it.
            wanted.spec.replicas = None;
        }

        let live = named(&self.children.deployments, &wanted.name_any());
        let let_go = live.filter(|live| {
            wanted.spec.replicas.is_none() && !child::is_applied(&wanted, live) && states_replicas(live)
        });
        let present = let_go.map(|live| live.spec.replicas.unwrap_or(1));
        let scaler_first = settled && present.is_some_and(|present| present > 0);
        if scaler_first {
            self.scale_by(scaler).await?;
        }
        if let (Some(live), Some(present)) = (let_go, present) {
            let handed_over = match (present, self.platform.component(component).least()) {
                // Forced, because the 0 is ours: there is no autoscaler yet that could have written another value, and
                // a foreign one does nothing at 0.
                (0, Some(least)) => self.writes.hand_over(live, least, true).await?,
                (present, _) => self.writes.hand_over(live, present, false).await?,
            };
            if !handed_over {
                // It was scaled since it was read, which triggers another reconcile anyway.
                return Ok(live.clone());
            }
        }
        let now = self.ensure(&wanted).await?;
        if settled && !scaler_first {
            self.scale_by(scaler).await?;
        }
        Ok(now)
    }

    async fn scale_by(&self, scaler: Option<&Scaler>) -> Result<(), ApplyError> {
        match scaler {
            None => {}
            Some(Scaler::Keda(wanted)) => {
                self.ensure(&**wanted).await?;
            }
            Some(Scaler::Hpa(wanted)) => {
                self.ensure(&**wanted).await?;
            }
        }
        Ok(())
    }

    /// Deletes unwanted autoscalers of a Deployment.
    async fn delete_others(&self, scaled: &Deployment, wanted: Option<&Scaler>) -> Result<(), ApplyError> {
        let name = scaled.name_any();
        if !matches!(wanted, Some(Scaler::Keda(_))) {
            self.delete_named::<ScaledObject>(&name).await?;
        }
        if !matches!(wanted, Some(Scaler::Hpa(_))) {
            self.delete_named::<HorizontalPodAutoscaler>(&name).await?;
        }
        Ok(())
    }

    async fn delete_named<K: Child>(&self, name: &str) -> Result<(), ApplyError> {
        if let Some(object) = named(K::of(self.children), name)
            && is_ours(self.platform, object.meta())
            && object.meta().deletion_timestamp.is_none()
        {
            self.writes.delete(object).await?;
        }
        Ok(())
    }
}

/// An autoscaler that must be gone before a component can reach its desired state: `Kind name`. This includes a wanted one that
/// is being deleted, because it can no longer be changed.
pub fn obstacle(
    platform: &ValidatedPlatform,
    children: &Children,
    component: Component,
    wanted: Option<&Scaler>,
) -> Option<String> {
    let name = component.object(&platform.name);
    let is_unwanted = |metadata: &ObjectMeta, right_kind: bool| {
        is_ours(platform, metadata) && (!right_kind || metadata.deletion_timestamp.is_some())
    };
    let keda = matches!(wanted, Some(Scaler::Keda(_)));
    let hpa = matches!(wanted, Some(Scaler::Hpa(_)));
    if named(&children.scaled_objects, &name).is_some_and(|found| is_unwanted(&found.metadata, keda)) {
        return Some(format!("ScaledObject {name}"));
    }
    if named(&children.autoscalers, &name).is_some_and(|found| is_unwanted(&found.metadata, hpa)) {
        return Some(format!("HorizontalPodAutoscaler {name}"));
    }
    // KEDA's own is removed after its ScaledObject and may still write until then.
    let left = children
        .autoscalers
        .iter()
        .find(|found| !keda && is_of_scaled_object(&found.metadata, &name))?;
    Some(format!("HorizontalPodAutoscaler {}", left.name_any()))
}

fn is_ours(platform: &ValidatedPlatform, metadata: &ObjectMeta) -> bool {
    ownership(metadata, &platform.name, &platform.uid) == Ownership::Ours
}

fn is_of_scaled_object(metadata: &ObjectMeta, name: &str) -> bool {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.kind == "ScaledObject" && owner.name == name)
}

/// Whether the operator owns a Deployment's number of pods, alone or with others. Without ownership information, it
/// might.
fn states_replicas(live: &Deployment) -> bool {
    let Some(managers) = &live.metadata.managed_fields else {
        return true;
    };
    managers.iter().any(|entry| {
        entry.manager.as_deref() == Some(MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    })
}
