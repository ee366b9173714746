//! Last stage: the status, derived from what the stages saw; written only if it changes.
//!
//! Invariant: the same observation gives the same status, so an unchanged platform causes no write.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use wallex_crd::{
    Component, ComponentStatus, EndpointsStatus, JournalStatus, TopicStatus, WalletPlatform,
    WalletPlatformStatus, names,
};

use super::conditions::{self, ComponentState, Seen};
use super::{Context, Error};
use crate::kafka::Topic;

/// Writes the status and reports a transition, if anything changed.
pub(super) async fn write(context: &Context, platform: &WalletPlatform, seen: &Seen) -> Result<(), Error> {
    let status = next(platform, seen, Timestamp::now());
    if platform.status.as_ref() == Some(&status) {
        return Ok(());
    }
    context
        .writes
        .status(platform, &status)
        .await
        .map_err(Error::Status)?;
    if let Some(event) = transition(platform.status.as_ref(), &status) {
        context.writes.event(&platform.object_ref(&()), &event).await;
    }
    Ok(())
}

/// The new status of `platform`.
pub fn next(platform: &WalletPlatform, seen: &Seen, now: Timestamp) -> WalletPlatformStatus {
    let previous = platform.status.clone().unwrap_or_default();
    let remember = seen.remember.clone();
    let generation = platform.metadata.generation;
    let (name, namespace) = (platform.name_any(), platform.namespace().unwrap_or_default());
    let endpoint = |component: Component| {
        let service = component.object(&name);
        format!("http://{service}.{namespace}.svc:{}", names::HTTP_PORT)
    };
    WalletPlatformStatus {
        observed_generation: generation,
        conditions: conditions::derive(&previous.conditions, generation, seen, now),
        components_ready: Some(format!("{}/{}", seen.components_ready(), seen.components.len())),
        components: seen.components.iter().map(component_row).collect(),
        journal: journal(remember.journal.or(previous.journal), seen.events, now),
        // The last known value stays while Kafka can't be asked.
        kafka: remember.kafka.or(previous.kafka),
        topics: match &remember.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| topic_row(topic, &previous.topics, now))
                .collect(),
            None => previous.topics,
        },
        schema: remember.schema.or(previous.schema),
        projections: seen.lag.rows().to_vec(),
        lag: seen.lag.rows().iter().map(|row| row.lag_events).max(),
        endpoints: Some(EndpointsStatus {
            api: endpoint(Component::Command),
            query: endpoint(Component::Query),
        }),
    }
}

/// Minimum interval between two recorded sizes of a growing journal. Publisher and projectors still detect a smaller loss by the
/// hashes.
const JOURNAL_PERIOD: SignedDuration = SignedDuration::from_secs(60);

/// The remembered journal with the number of events seen. A busy platform costs one write per minute, an idle one none.
fn journal(known: Option<JournalStatus>, events: Option<i64>, now: Timestamp) -> Option<JournalStatus> {
    let mut journal = known.unwrap_or_default();
    let seen = events.unwrap_or_default();
    let last = journal.seen_at.as_ref().map(|at| at.0);
    // A clock that was set back must not freeze the figure until it catches up.
    let is_due = last.is_none_or(|last| now.duration_since(last).abs() >= JOURNAL_PERIOD);
    if seen > journal.events && (is_due || seen - journal.events >= journal.events / 10) {
        journal.events = seen;
        journal.seen_at = Some(Time(now));
    }
    (journal != JournalStatus::default()).then_some(journal)
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

fn topic_row(topic: &Topic, previous: &[TopicStatus], now: Timestamp) -> TopicStatus {
    let previous = previous.iter().find(|row| row.name == topic.name);
    let was_missing = previous.and_then(|row| row.missing_since.clone());
    let recreated_before = previous.and_then(|row| row.recreated_at.clone());
    let (missing_since, recreated_at) = match (topic.missing, was_missing) {
        (Some(_), since) => (since.or(Some(Time(now))), recreated_before),
        (None, Some(_)) => (None, Some(Time(now))),
        (None, None) => (None, recreated_before),
    };
    TopicStatus {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        retention_hours: if topic.retention_ms < 0 {
            -1
        } else {
            topic.retention_ms / 3_600_000
        },
        created: topic.created,
        missing_since,
        recreated_at,
    }
}

/// A condition in a status.
fn find<'a>(status: &'a WalletPlatformStatus, type_: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// The Event for a transition: Ready or the problem changed. None if neither did.
pub fn transition(previous: Option<&WalletPlatformStatus>, now: &WalletPlatformStatus) -> Option<Event> {
    let after = find(now, conditions::types::READY)?;
    let wrong = trouble(now);
    let ready_before = previous.and_then(|status| find(status, conditions::types::READY));
    let same_ready = ready_before.is_some_and(|before| before.status == after.status);
    let same_trouble = wrong.is_none_or(|wrong| {
        previous
            .and_then(trouble)
            .is_some_and(|before| before.reason == wrong.reason)
    });
    if same_ready && same_trouble {
        return None;
    }
    let said = wrong.unwrap_or(after);
    Some(Event {
        type_: if wrong.is_some() {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: said.reason.clone(),
        note: Some(last_kilobyte(&said.message)),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

/// What is wrong, if anything.
fn trouble(status: &WalletPlatformStatus) -> Option<&Condition> {
    find(status, conditions::types::DEGRADED).filter(|condition| condition.status == "True")
}

/// An Event's note holds at most 1 kB.
fn last_kilobyte(message: &str) -> String {
    let mut start = message.len().saturating_sub(1000);
    while !message.is_char_boundary(start) {
        start += 1;
    }
    message[start..].to_owned()
}
