//! Finds platforms by name, and lists those that exist if there is none with that name.
//!
//! Reads them untyped, not as this version's types, so a plugin older or newer than the operator still works.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use wallex_crd::names;
use wallex_crd::{WalletPlatform, WalletPlatformStatus};

use super::Session;
use super::access::Access;
use super::error::Error;

pub(super) const PLATFORMS: &str = "walletplatforms.wallex.dev";

pub(super) fn resource() -> ApiResource {
    ApiResource::erase::<WalletPlatform>(&())
}

/// The platforms of the session's namespace.
pub(super) fn api(session: &Session) -> Api<DynamicObject> {
    Api::namespaced_with(session.client.clone(), &session.namespace, &resource())
}

/// The platform of that name.
pub(super) async fn platform(session: &Session, name: &str) -> Result<DynamicObject, Error> {
    match api(session).get(name).await {
        Ok(platform) => Ok(platform),
        // If the cluster has no such kind, the 404 is plain text without a `reason`.
        Err(kube::Error::Api(status)) if status.code == 404 => Err(missing(session, name).await),
        Err(error) => Err(Access::new("get", PLATFORMS, &session.namespace).failed(&error)),
    }
}

/// All platforms of the namespace, or of all namespaces.
pub(super) async fn platforms(session: &Session, everywhere: bool) -> Result<Vec<DynamicObject>, Error> {
    let (api, access) = if everywhere {
        let all = Api::all_with(session.client.clone(), &resource());
        (all, Access::everywhere("list", PLATFORMS))
    } else {
        (api(session), Access::new("list", PLATFORMS, &session.namespace))
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        // An empty list is not a 404: the path itself is unknown. The answer is plain text, so there is no `reason` to
        // check.
        Err(kube::Error::Api(status)) if status.code == 404 => Err(Error::NotInstalled),
        Err(error) => Err(access.failed(&error)),
    }
}

/// Why there is no platform with that name: the CRD is missing, or the name or namespace is wrong.
async fn missing(session: &Session, name: &str) -> Error {
    let here = match platforms(session, false).await {
        Ok(here) => here,
        Err(error @ Error::NotInstalled) => return error,
        // Without the right to list there is nothing to suggest.
        Err(_) => Vec::new(),
    };
    let there_are = if here.is_empty() {
        let elsewhere = platforms(session, true).await.unwrap_or_default();
        let namesakes: Vec<String> = elsewhere
            .iter()
            .filter(|other| other.name_any() == name)
            .filter_map(ResourceExt::namespace)
            .collect();
        if namesakes.is_empty() {
            "that namespace has none at all: name another with -n, or see all with `kubectl wallex status -A`"
                .to_owned()
        } else {
            format!("there is one in {}: name it with -n", namesakes.join(", "))
        }
    } else {
        let names: Vec<String> = here.iter().map(ResourceExt::name_any).collect();
        format!("there is {}", names.join(", "))
    };
    Error::NoPlatform {
        name: name.to_owned(),
        namespace: session.namespace.clone(),
        there_are,
    }
}

/// The status of a platform, as far as this version can read it.
pub(super) fn status_of(platform: &DynamicObject) -> WalletPlatformStatus {
    platform
        .data
        .get("status")
        .and_then(|status| serde_json::from_value(status.clone()).ok())
        .unwrap_or_default()
}

/// Whether a switch of the spec, such as `paused`, is on.
pub(super) fn is_on(platform: &DynamicObject, switch: &str) -> bool {
    platform.data["spec"][switch].as_bool().unwrap_or_default()
}

/// The objects of a kind with the platform's labels, whoever created them.
pub(super) async fn labelled<K>(
    session: &Session,
    platform: &str,
    resource: &'static str,
) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(session.client.clone(), &session.namespace);
    match api.list(&ListParams::default().labels(&selector(platform))).await {
        Ok(list) => Ok(list.items),
        Err(error) => Err(Access::new("list", resource, &session.namespace).failed(&error)),
    }
}

/// Label selector for everything that belongs to a platform, including maintenance pods.
pub(super) fn selector(platform: &str) -> String {
    names::selector(platform, None)
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}
