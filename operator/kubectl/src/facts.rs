//! Reads everything that one screen shows. Performs reads only.
//!
//! Invariant: only the platform itself must be readable. Anything else that can't be read is shown with its reason, not an
//! error.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::DynamicObject;
use wallex_crd::WalletPlatformStatus;

use super::Session;
use super::error::Error;
use super::lag::{self, Lag};
use super::{events, find};

/// A value, or why it is unknown.
pub(super) type Known<T> = Result<T, String>;

/// A platform and its surroundings.
pub(super) struct Facts {
    pub(super) platform: DynamicObject,
    pub(super) status: WalletPlatformStatus,
    pub(super) deployments: Known<Vec<Deployment>>,
    pub(super) pods: Known<Vec<Pod>>,
    pub(super) lag: Known<Lag>,
    /// Oldest first.
    pub(super) events: Known<Vec<Event>>,
}

/// Reads them.
///
/// # Errors
/// When the platform can't be read.
pub(super) async fn of(session: &Session, name: &str) -> Result<Facts, Error> {
    let platform = find::platform(session, name).await?;
    let (deployments, pods, lag, events) = futures::join!(
        find::labelled(session, name, "deployments.apps"),
        find::labelled(session, name, "pods"),
        lag::of(session, name),
        events::of(session, name),
    );
    Ok(Facts {
        status: find::status_of(&platform),
        platform,
        deployments: deployments.map_err(|error| error.short()),
        pods: pods.map_err(|error| error.short()),
        lag,
        events: events.map_err(|error| error.short()),
    })
}
