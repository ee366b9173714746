//! The Events of a platform and its children.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::Api;
use kube::api::ListParams;
use wallex_crd::Component;

use super::Session;
use super::access::Access;
use super::error::Error;

/// The platform's Events, oldest first.
pub(super) async fn of(session: &Session, platform: &str) -> Result<Vec<Event>, Error> {
    let api = Api::<Event>::namespaced(session.client.clone(), &session.namespace);
    let mut events = api
        .list(&ListParams::default())
        .await
        .map_err(|error| Access::new("list", "events", &session.namespace).failed(&error))?
        .items;
    events.retain(|event| belongs(platform, &event.involved_object));
    events.sort_by_key(last_seen);
    Ok(events)
}

/// When an Event was last seen. Reporters fill one of several fields, depending on their age.
pub(super) fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| Some(series.last_observed_time.as_ref()?.0));
    series
        .or(event.last_timestamp.as_ref().map(|time| time.0))
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Whether an Event's object is the platform or one of its children. By name: the objects themselves may be gone.
///
/// Objects that Kubernetes creates from a child have the child's name plus one random part without a dash per level, so
/// a platform `demo-command` next to `demo` causes no confusion.
fn belongs(platform: &str, object: &ObjectReference) -> bool {
    let kind = object.kind.as_deref().unwrap_or_default();
    let name = object.name.as_deref().unwrap_or_default();
    // Random parts after a child's name.
    let parts = match kind {
        "WalletPlatform" => return name == platform,
        "ReplicaSet" | "EndpointSlice" => 1,
        // Two for a Deployment, one for a Job; a migration's Job and a CronJob's Jobs have one in their own names.
        "Pod" | "Job" => 2,
        _ => 0,
    };
    let mut children = Component::ROLLOUT
        .map(|component| component.object(platform))
        .to_vec();
    children.extend(["migrate", "maintain", "verify", "config"].map(|role| format!("{platform}-{role}")));
    if kind == "ServiceAccount" && name == platform {
        return true;
    }
    children.iter().any(|child| {
        name == child
            || name
                .strip_prefix(child.as_str())
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| !rest.is_empty() && rest.split('-').count() <= parts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(platform: &str, kind: &str, name: &str) -> bool {
        let object = ObjectReference {
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        belongs(platform, &object)
    }

    #[test]
    fn events_of_children_are_the_platforms() {
        for (kind, name) in [
            ("WalletPlatform", "demo"),
            ("Deployment", "demo-ledger-projector"),
            ("ReplicaSet", "demo-command-6d5f7c"),
            ("Pod", "demo-command-6d5f7c-x2x4z"),
            ("Job", "demo-migrate-0123456789"),
            ("Pod", "demo-migrate-0123456789-abcde"),
            ("CronJob", "demo-maintain"),
            ("Pod", "demo-maintain-29384756-abcde"),
            ("Pod", "demo-verify-x7k2p-abcde"),
        ] {
            assert!(of("demo", kind, name), "{kind} {name}");
        }
    }

    #[test]
    fn events_of_a_platform_with_a_longer_name_are_its_own() {
        for (kind, name) in [
            ("WalletPlatform", "demo-command"),
            ("Deployment", "demo-command-query"),
            ("ReplicaSet", "demo-command-query-6d5f7c"),
            ("Pod", "demo-command-query-6d5f7c-x2x4z"),
            ("Pod", "elsewhere-command-6d5f7c-x2x4z"),
        ] {
            assert!(!of("demo", kind, name), "{kind} {name}");
            if name.starts_with("demo-command") {
                assert!(of("demo-command", kind, name), "{kind} {name}");
            }
        }
    }
}
