//! The configuration of a topic, from what the spec says. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use crate::crd::{Compression, WalletPlatform};
use crate::kafka::{self, owners};
use crate::names;
use crate::reconcile::conditions::{Problem, reasons};

use super::{DEAD_LETTERS, EVENTS};

/// Names of the topics of a platform, events and dead letters: those that the spec says, or those that the platform has, or those that
/// follow from its name. Platforms were once given `wallet-events` by default, and keep it.
pub fn names(platform: &WalletPlatform) -> [String; 2] {
    let topics = &platform.spec.kafka.topics;
    let (namespace, name) = (platform.namespace().unwrap_or_default(), platform.name_any());
    [
        topics.events.name.clone().or_else(|| had(platform, EVENTS)),
        topics
            .dead_letters
            .name
            .clone()
            .or_else(|| had(platform, DEAD_LETTERS)),
    ]
    .into_iter()
    .zip([
        names::events_topic(&namespace, &name),
        names::dead_letters_topic(&namespace, &name),
    ])
    .map(|(stated, default)| stated.unwrap_or(default))
    .collect::<Vec<_>>()
    .try_into()
    .unwrap_or_default()
}

/// The topic that the status tells of. Its rows are in this order.
fn had(platform: &WalletPlatform, index: usize) -> Option<String> {
    let rows = &platform.status.as_ref()?.topics;
    Some(rows.get(index)?.name.clone())
}

/// The same, refused where they can't be.
pub(super) fn checked(platform: &WalletPlatform) -> Result<[String; 2], Problem> {
    let [events, dead_letters] = names(platform);
    let invalid = |message: String| Err(Problem::new(reasons::INVALID_SPEC, message));
    if events == dead_letters {
        return invalid(format!(
            "spec.kafka.topics: events and deadLetters are both named {events:?}"
        ));
    }
    // An object that names no topic may come to name one later, which the API server can't compare with what it had.
    if let Some(had) = had(platform, EVENTS).filter(|had| *had != events) {
        return invalid(format!(
            "spec.kafka.topics.events.name says {events:?}, but the platform has the topic {had:?}, which can't be renamed: name that \
             one, or delete the object and apply it again under the new name"
        ));
    }
    for name in [&events, &dead_letters] {
        let internal = name.starts_with("__") || name == owners::TOPIC;
        let legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if internal
            || name.is_empty()
            || name == "."
            || name == ".."
            || name.len() > 249
            || !name.chars().all(legal)
        {
            return invalid(format!(
                "spec.kafka.topics: {name:?} can't be used: names that begin with __ belong to Kafka, {} to the operator; others have up \
                 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'",
                owners::TOPIC
            ));
        }
    }
    Ok([events, dead_letters])
}

/// The topic as Kafka is to have it.
pub(super) fn wanted(
    name: &str,
    partitions: i32,
    replication_factor: i32,
    retention_hours: i64,
    compression: Compression,
    config: &BTreeMap<String, String>,
) -> Result<kafka::Wanted, Problem> {
    let refuse = |what: &str| Problem::new(reasons::INVALID_SPEC, format!("topic {name}: {what}"));
    if config
        .get("cleanup.policy")
        .is_some_and(|policy| policy != "delete")
    {
        return Err(refuse(
            "cleanup.policy must be delete: compaction would remove events",
        ));
    }
    if config.contains_key("retention.ms") || config.contains_key("compression.type") {
        return Err(refuse(
            "set retentionHours instead of retention.ms, and compression instead of compression.type",
        ));
    }
    let retention_ms = if retention_hours < 0 {
        -1
    } else {
        retention_hours.saturating_mul(3_600_000)
    };
    // A majority must have a record before it counts; with one or two copies that would stop writing at the first loss.
    let min_in_sync = if replication_factor >= 3 {
        replication_factor / 2 + 1
    } else {
        1
    };
    let mut wanted = BTreeMap::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("retention.ms".to_owned(), retention_ms.to_string()),
        ("compression.type".to_owned(), compression.as_str().to_owned()),
        ("min.insync.replicas".to_owned(), min_in_sync.to_string()),
    ]);
    wanted.extend(config.clone());
    Ok(kafka::Wanted {
        name: name.to_owned(),
        partitions,
        replication_factor,
        config: wanted,
    })
}
