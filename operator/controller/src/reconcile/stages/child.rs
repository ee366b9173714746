//! Brings one child to its desired state: written only if it differs, and never if it belongs to another owner.
//!
//! Invariants: a child that is already as stated is not written. "As stated" means that this manifest was the last one applied
//! (by its hash, so removed fields count too), that every field still has its value, **and** that no one added to the operator's
//! parts (`drift`). A child that can't be written blocks only what needs it: the others are still written, and every error is
//! reported.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use wallex_crd::children::{Child, Children, named};
use wallex_crd::names::{self, MANIFEST_HASH};

use super::report::{ApplyError, Report};
use crate::reconcile::children::{Ownership, ownership};
use crate::reconcile::drift::{self, Found, matching};
use crate::reconcile::validate::ValidatedPlatform;
use crate::writes::Writes;

/// Applies the objects of one platform.
pub struct Applier<'a> {
    pub client: &'a Client,
    pub writes: &'a Writes,
    pub platform: &'a ValidatedPlatform,
    pub children: &'a Children,
    pub report: Mutex<Report>,
}

impl Applier<'_> {
    pub(in crate::reconcile) fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error and continues without the failed part.
    pub(in crate::reconcile) fn noted<T>(&self, result: Result<T, ApplyError>) -> Option<T> {
        result.map_err(|error| self.report().errors.push(error)).ok()
    }

    /// Brings a child to its desired state; an error is noted. None: it failed.
    pub(in crate::reconcile) async fn child<K: Child>(&self, wanted: &K) -> Option<K> {
        if self.report().ends() {
            return None;
        }
        let result = self.ensure(wanted).await;
        self.noted(result)
    }

    /// Applies `wanted` unless it is already in place, and returns the live object.
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
            // A new manifest is always written; the same one only a limited number of times.
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
        // Not found by our labels: it is missing, has lost its labels, or belongs to another owner.
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

    /// Restores one of our children, whatever others changed.
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
                // It was changed since it was read, which triggers another reconcile anyway.
                return Ok(live.clone());
            }
        }
        let applied = self.writes.apply(wanted).await?;
        // With a new manifest, values differ anyway.
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

/// Drops fields known to stem from the operator's own earlier writes.
pub(in crate::reconcile) fn others_only(found: Vec<Found>) -> Vec<Found> {
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
    // serde_json's map sorts keys, so equal manifests give equal text.
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

/// Whether `live` already is the result of applying `manifest`.
pub fn is_applied<K: Resource + Clone + Serialize>(manifest: &K, live: &K) -> bool {
    as_stated(&stamped(manifest), live)
}

/// Whether `live` has every field of `wanted`, including its hash, with the same value.
fn as_stated<K: Serialize>(wanted: &K, live: &K) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(live)) {
        (Ok(wanted), Ok(live)) => matching::contains(&live, &wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::stages::fixture::deployment;

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
