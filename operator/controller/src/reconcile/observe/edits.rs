//! What others changed in the children of a paused platform, where nothing is restored. Pure.

use wallex_crd::children::{Child, Children, named};

use crate::reconcile::build::Manifests;
use crate::reconcile::drift::{self, Found};
use crate::reconcile::stages::child::others_only;

/// One note per child.
pub(super) fn notes(manifests: &Manifests, children: &Children) -> Vec<String> {
    edited(manifests, children).iter().map(left_alone).collect()
}

fn left_alone((child, found): &(String, Vec<Found>)) -> String {
    format!("{child} was changed by hand: {}", drift::shown(found))
}

/// What others added to the children: everything that an apply would remove or leave.
fn edited(manifests: &Manifests, children: &Children) -> Vec<(String, Vec<Found>)> {
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
