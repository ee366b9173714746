//! Removes children that are no longer wanted, once their replacements are in place.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use wallex_crd::children::{Child, PerKind, per_kind};

use super::child::Applier;
use super::report::ApplyError;
use crate::reconcile::build::{Manifests, Names};
use crate::reconcile::children::{Ownership, ownership};
use crate::writes::WriteError;

impl Applier<'_> {
    /// Removes children that are no longer wanted: other migrations (once this one is done), and objects that an earlier
    /// version of the operator created under another name.
    pub(in crate::reconcile) async fn orphans(&self, manifests: &Manifests) {
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
}

/// The removals, to be awaited one after the other.
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
