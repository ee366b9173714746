//! Last stage: the status, from what the stages saw; written only when it says something new.
//!
//! Invariant: the same observation gives the same status, so nothing is written about an unchanged platform.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::runtime::events::{Event, EventType};

use super::apply;
use super::conditions::{self, ComponentState, Observation};
use super::dereference::named;
use crate::crd::{
    ComponentStatus, EndpointsStatus, SchemaStatus, TopicStatus, WalletPlatform, WalletPlatformStatus,
};
use crate::kafka::Topic;
use crate::names::{self, Component};

/// The components' Deployments as they are. `wanted` tells whether a Deployment is of the template wanted now.
pub fn components(
    platform: &str,
    deployments: &[Deployment],
    desired: impl Fn(Component) -> i32,
    wanted: impl Fn(Component, &Deployment) -> bool,
) -> Vec<ComponentState> {
    Component::ROLLOUT
        .into_iter()
        .map(|component| {
            let Some(live) = named(deployments, &names::component_object(platform, component)) else {
                let desired = desired(component);
                return ComponentState {
                    component,
                    exists: false,
                    desired,
                    ready: 0,
                    updated: 0,
                    image: None,
                    rolled_out: false,
                    stalled: None,
                };
            };
            let desired = live.spec.replicas.unwrap_or(1);
            let status = live.status.clone().unwrap_or_default();
            let ready = status.ready_replicas.unwrap_or_default();
            let stalled = status.conditions.iter().flatten().find(|condition| {
                condition.type_.as_deref() == Some("Progressing")
                    && condition.status.as_deref() == Some("False")
                    && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
            });
            ComponentState {
                component,
                exists: true,
                desired,
                ready,
                updated: status.updated_replicas.unwrap_or_default(),
                image: apply::image(live).map(str::to_owned),
                rolled_out: wanted(component, live) && apply::replaced(live) && ready >= desired,
                stalled: stalled.map(|condition| condition.message.clone().unwrap_or_default()),
            }
        })
        .collect()
}

/// The new status of `platform`.
pub fn run(
    platform: &WalletPlatform,
    observation: &Observation,
    topics: Option<&[Topic]>,
    schema: Option<SchemaStatus>,
    now: Timestamp,
) -> WalletPlatformStatus {
    let previous = platform.status.clone().unwrap_or_default();
    let generation = platform.metadata.generation;
    let (name, namespace) = (platform.name_any(), platform.namespace().unwrap_or_default());
    let endpoint = |component| {
        let service = names::component_object(&name, component);
        format!("http://{service}.{namespace}.svc:{}", names::HTTP_PORT)
    };
    WalletPlatformStatus {
        observed_generation: generation,
        conditions: conditions::run(&previous.conditions, generation, observation, now),
        components_ready: Some(format!(
            "{}/{}",
            observation.components_ready(),
            observation.components.len()
        )),
        components: observation.components.iter().map(component_row).collect(),
        // What was last seen stands while Kafka can't be asked.
        topics: topics.map_or(previous.topics, |topics| topics.iter().map(topic_row).collect()),
        schema: schema.or(previous.schema),
        endpoints: Some(EndpointsStatus {
            api: endpoint(Component::Command),
            query: endpoint(Component::Query),
        }),
    }
}

fn component_row(state: &ComponentState) -> ComponentStatus {
    ComponentStatus {
        name: state.component.name().to_owned(),
        desired: state.desired,
        ready: state.ready,
        updated: state.updated,
        image: state.image.clone(),
    }
}

fn topic_row(topic: &Topic) -> TopicStatus {
    TopicStatus {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        retention_hours: if topic.retention_ms < 0 {
            -1
        } else {
            topic.retention_ms / 3_600_000
        },
    }
}

/// The Ready condition of a status.
fn ready(status: &WalletPlatformStatus) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == conditions::types::READY)
}

/// The Event for a transition of Ready; none when Ready stays what it was.
pub fn transition(previous: Option<&WalletPlatformStatus>, now: &WalletPlatformStatus) -> Option<Event> {
    let after = ready(now)?;
    if previous
        .and_then(ready)
        .is_some_and(|before| before.status == after.status)
    {
        return None;
    }
    let is_ready = after.status == "True";
    let expected = is_ready
        || !now
            .conditions
            .iter()
            .any(|condition| condition.type_ == conditions::types::DEGRADED && condition.status == "True");
    Some(Event {
        type_: if expected {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: after.reason.clone(),
        note: Some(last_kilobyte(&after.message)),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

/// An Event's note holds 1 kB at most.
fn last_kilobyte(message: &str) -> String {
    let mut start = message.len().saturating_sub(1000);
    while !message.is_char_boundary(start) {
        start += 1;
    }
    message[start..].to_owned()
}
