//! Detects other installations of the operator that run the same platforms. Each has its own Lease, so each leads; only this
//! check reveals it.
//!
//! Only an operator for all namespaces may check, because reading Leases in other namespaces needs cluster-wide rights. It only
//! reads and never decides who must stop; that is for a person to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use wallex_crd::api_error;
use wallex_crd::names::{MANAGER, WATCHES};

/// Interval between two checks. Longer than a Lease's renewal interval, so that a live one has a new time by then.
const LOOK: Duration = Duration::from_secs(20);

/// What is known about the others. Clones share it.
#[derive(Clone, Default)]
pub struct Rivals(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Rivals {
    /// The note for a platform in `namespace` that others run too: the same text from each of them.
    pub fn note(&self, own: &str, namespace: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = known
            .iter()
            .filter(|(_, watched)| watched.is_empty() || watched.contains(namespace))
            .map(|(other, _)| other.as_str());
        let all: BTreeSet<&str> = others.chain([own]).collect();
        (all.len() > 1).then(|| {
            let all: Vec<&str> = all.into_iter().collect();
            format!(
                "the operators in the namespaces {} all run this platform: uninstall all but one, or let them watch different namespaces",
                all.join(", ")
            )
        })
    }

    /// Looks for others until the process ends. `own` is the namespace of this operator's Lease.
    pub async fn watch(self, client: Client, own: String) {
        let mut before = BTreeMap::new();
        loop {
            match leases(&client).await {
                Ok(leases) => {
                    let (alive, now) = alive(&leases, &own, &before);
                    before = now;
                    let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if *known != alive {
                        for other in alive.keys() {
                            tracing::warn!(
                                own,
                                other,
                                "another operator runs platforms of the same namespaces"
                            );
                        }
                        *known = alive;
                    }
                }
                Err(error) => {
                    tracing::debug!(
                        error = api_error::short(&error),
                        "could not look for other operators"
                    );
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn leases(client: &Client) -> kube::Result<Vec<Lease>> {
    let named = ListParams::default().fields(&format!("metadata.name={MANAGER}"));
    Ok(Api::<Lease>::all(client.clone()).list(&named).await?.items)
}

type Seen = BTreeMap<String, String>;

/// The namespaces of other Leases renewed since the last check, with what their holders watch; and what was seen now. Renewal
/// times are compared only with each other, never with a clock.
fn alive(leases: &[Lease], own: &str, before: &Seen) -> (BTreeMap<String, BTreeSet<String>>, Seen) {
    let (mut alive, mut now) = (BTreeMap::new(), Seen::new());
    for lease in leases {
        let namespace = lease.namespace().unwrap_or_default();
        let spec = lease.spec.as_ref();
        let holder = spec
            .and_then(|spec| spec.holder_identity.as_deref())
            .unwrap_or_default();
        if namespace == own || holder.is_empty() {
            continue;
        }
        let renewed = lease.resource_version().unwrap_or_default();
        if before.get(&namespace).is_some_and(|before| *before != renewed) {
            let watched = lease
                .annotations()
                .get(WATCHES)
                .map(String::as_str)
                .unwrap_or_default();
            let watched = watched
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned);
            alive.insert(namespace.clone(), watched.collect());
        }
        now.insert(namespace, renewed);
    }
    (alive, now)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    fn lease(namespace: &str, holder: &str, version: &str, watches: &str) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": MANAGER, "namespace": namespace, "resourceVersion": version,
                         "annotations": {WATCHES: watches}},
            "spec": {"holderIdentity": holder},
        }))
        .unwrap()
    }

    fn known(leases: &[Lease], later: &[Lease], own: &str) -> Rivals {
        let (nobody, before) = alive(leases, own, &Seen::new());
        assert!(nobody.is_empty(), "once seen is not alive");
        let (found, _) = alive(later, own, &before);
        Rivals(Arc::new(Mutex::new(found)))
    }

    #[test]
    fn two_operators_say_the_same_of_a_platform_that_both_run() {
        let (a, b) = (lease("a", "x", "1", ""), lease("b", "y", "1", ""));
        let later = [lease("a", "x", "2", ""), lease("b", "y", "2", "")];
        let says = |own: &str| known(&[a.clone(), b.clone()], &later, own).note(own, "shop");
        assert!(says("a").unwrap().contains("a, b"));
        assert_eq!(says("a"), says("b"));
    }

    #[test]
    fn one_that_is_gone_released_or_watches_elsewhere_is_no_rival() {
        let own = lease("a", "x", "1", "");
        for (before, later, namespace) in [
            (lease("b", "y", "1", ""), lease("b", "y", "1", ""), "shop"),
            (lease("b", "", "1", ""), lease("b", "", "2", ""), "shop"),
            (lease("b", "y", "1", "c,d"), lease("b", "y", "2", "c,d"), "shop"),
        ] {
            let known = known(&[own.clone(), before], &[own.clone(), later], "a");
            assert_eq!(known.note("a", namespace), None);
        }
        let watching = |version| lease("b", "y", version, "c,shop");
        let known = known(&[watching("1")], &[watching("2")], "a");
        assert!(known.note("a", "shop").is_some() && known.note("a", "elsewhere").is_none());
    }
}
