//! The children of a platform in the cluster: reads them all and determines their owners. `wallex_crd::children` lists
//! the kinds; nothing here is specific to one of them.

use std::fmt::Debug;

use futures::FutureExt as _;
use futures::future::{BoxFuture, try_join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use wallex_crd::children::{Child, Children, PerKind, Served, per_kind};
use wallex_crd::{GROUP, names};

/// Who owns an object, by its controller's owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Owned by this platform.
    Ours,
    /// Owned by a deleted platform of the same name; Kubernetes is about to collect the object.
    Predecessor,
    /// No owner: it was deleted with `--cascade=orphan`.
    Unowned,
    /// Owned by something else.
    Other,
}

/// Who owns the object with this metadata, from the view of the platform `name` with uid `uid`.
pub(super) fn ownership(metadata: &ObjectMeta, name: &str, uid: &str) -> Ownership {
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

/// What was read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) ours: Children,
    /// Objects of others, for the kinds that are read completely.
    pub(super) others: Children,
    /// Kinds that can't exist in this cluster, and why.
    absent: Vec<(String, &'static str)>,
}

impl Found {
    /// Why a kind can't exist here; none if it can.
    pub(super) fn why_no(&self, kind: &str) -> Option<&'static str> {
        let found = self.absent.iter().find(|(absent, _)| absent == kind);
        found.map(|(_, why)| *why)
    }
}

/// Reads the children of a platform: Kubernetes' own kinds in parallel, the others one kind at a time.
///
/// # Errors
/// When the API server does not answer.
pub(super) async fn read(client: &Client, namespace: &str, platform: &str) -> kube::Result<Found> {
    let mut reads = Reads {
        place: Place::new(client, namespace, platform),
        always: Vec::new(),
        perhaps: Vec::new(),
    };
    per_kind(&mut reads);
    let mut found = Found::default();
    for take in try_join_all(reads.always).await? {
        take(&mut found);
    }
    for (with, read) in reads.perhaps {
        // Where that kind can't exist, this one is irrelevant.
        if with.is_none_or(|with| found.why_no(with).is_none()) {
            let take = read.await?;
            take(&mut found);
        }
    }
    Ok(found)
}

/// The children of one kind.
pub(super) async fn list<K>(client: &Client, namespace: &str, platform: &str) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&names::children_of(platform));
    Ok(api.list(&params).await?.items)
}

/// Where children are.
#[derive(Clone, Copy)]
struct Place<'a> {
    client: &'a Client,
    namespace: &'a str,
    platform: &'a str,
}

impl<'a> Place<'a> {
    fn new(client: &'a Client, namespace: &'a str, platform: &'a str) -> Self {
        Self {
            client,
            namespace,
            platform,
        }
    }

    async fn list<K: Child>(self) -> kube::Result<Vec<K>> {
        list(self.client, self.namespace, self.platform).await
    }

    /// All objects in the namespace, with the platform's separated.
    async fn list_all<K: Child>(self) -> kube::Result<(Vec<K>, Vec<K>)> {
        let api = Api::<K>::namespaced(self.client.clone(), self.namespace);
        let all = api.list(&ListParams::default()).await?.items;
        Ok(all
            .into_iter()
            .partition(|found| names::is_child_of(found.labels(), self.platform)))
    }

    /// The children of a kind that a cluster may lack, or why it can't exist: a platform runs without it.
    async fn perhaps<K: Child>(
        self,
        missing: &'static str,
        forbidden: &'static str,
    ) -> kube::Result<(Vec<K>, Option<&'static str>)> {
        match self.list().await {
            Ok(found) => Ok((found, None)),
            Err(kube::Error::Api(status)) if is_not_served(&status) => Ok((Vec::new(), Some(missing))),
            Err(kube::Error::Api(status)) if status.is_forbidden() => Ok((Vec::new(), Some(forbidden))),
            Err(error) => Err(error),
        }
    }
}

/// Whether the API server does not know the resource at all. It then answers in plain text, so there is no `reason` to
/// check.
fn is_not_served(status: &kube::core::Status) -> bool {
    status.code == 404
}

/// Stores what was read.
type Take = Box<dyn FnOnce(&mut Found) + Send>;
type Read<'a> = BoxFuture<'a, kube::Result<Take>>;

/// One read per kind.
struct Reads<'a> {
    place: Place<'a>,
    always: Vec<Read<'a>>,
    /// Each with the kind it depends on, if any.
    perhaps: Vec<(Option<&'static str>, Read<'a>)>,
}

impl PerKind for Reads<'_> {
    fn kind<K: Child>(&mut self) {
        fn take(take: impl FnOnce(&mut Found) + Send + 'static) -> kube::Result<Take> {
            Ok(Box::new(take))
        }
        let place = self.place;
        let perhaps = move |missing, forbidden| {
            async move {
                let (ours, absent) = place.perhaps::<K>(missing, forbidden).await?;
                take(move |found| {
                    *K::of_mut(&mut found.ours) = ours;
                    let absent = absent.map(|why| (K::kind(&()).into_owned(), why));
                    found.absent.extend(absent);
                })
            }
            .boxed()
        };
        match K::SERVED {
            Served::Always => {
                let read = async move {
                    let ours = place.list::<K>().await?;
                    take(move |found| *K::of_mut(&mut found.ours) = ours)
                };
                self.always.push(read.boxed());
            }
            Served::WithOthers => {
                let read = async move {
                    let (ours, others) = place.list_all::<K>().await?;
                    take(move |found| {
                        *K::of_mut(&mut found.ours) = ours;
                        *K::of_mut(&mut found.others) = others;
                    })
                };
                self.always.push(read.boxed());
            }
            Served::Perhaps { missing, forbidden } => {
                self.perhaps.push((None, perhaps(missing, forbidden)));
            }
            Served::Once { with } => self.perhaps.push((Some(with), perhaps("", ""))),
        }
    }
}

/// A child of a deleted platform of the same name that Kubernetes has not collected yet: `Kind name`.
pub(super) fn predecessor(children: &Children, name: &str, uid: &str) -> Option<String> {
    let is_left = |metadata: &ObjectMeta| ownership(metadata, name, uid) == Ownership::Predecessor;
    let (kind, left) = children.metadata().find(|(_, metadata)| is_left(metadata))?;
    Some(format!("{kind} {}", left.name.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use wallex_crd::foreign::ScaledObject;

    use super::*;

    /// A real API server answers `404 page not found` as text when a resource's CRD is not installed.
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
            let found = Place::new(&client, "wallex", "demo")
                .perhaps::<ScaledObject>("missing", "forbidden")
                .await;
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
}
