//! A topic's configuration, derived from the spec. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use wallex_crd::names;
use wallex_crd::{Compression, WalletPlatform};

use crate::kafka::{self, owners};
use crate::reconcile::conditions::{Problem, Reason};

/// One value for each topic of a platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics<T> {
    pub events: T,
    pub dead_letters: T,
}

impl<T> Topics<T> {
    /// In the order of the status's rows.
    pub fn each(&self) -> [&T; 2] {
        [&self.events, &self.dead_letters]
    }
}

/// Names of a platform's topics: those in the spec, or those the platform already has, or those derived from its name.
/// `wallet-events` was once the default, and existing platforms keep it.
pub fn names(platform: &WalletPlatform) -> Topics<String> {
    let stated = &platform.spec.kafka.topics;
    let had = had(platform);
    let (namespace, name) = (platform.namespace().unwrap_or_default(), platform.name_any());
    Topics {
        events: (stated.events.name.clone().or(had.events))
            .unwrap_or_else(|| names::events_topic(&namespace, &name)),
        dead_letters: (stated.dead_letters.name.clone().or(had.dead_letters))
            .unwrap_or_else(|| names::dead_letters_topic(&namespace, &name)),
    }
}

/// The topics in the status, whose rows are in this order.
fn had(platform: &WalletPlatform) -> Topics<Option<String>> {
    let rows = platform.status.iter().flat_map(|status| &status.topics);
    let mut names = rows.map(|row| row.name.clone());
    Topics {
        events: names.next(),
        dead_letters: names.next(),
    }
}

/// The same, but refuses names that are not possible.
pub(super) fn checked(platform: &WalletPlatform) -> Result<Topics<String>, Problem> {
    let named = names(platform);
    let Topics { events, dead_letters } = &named;
    let invalid = |message: String| Err(Problem::new(Reason::InvalidSpec, message));
    if events == dead_letters {
        return invalid(format!(
            "spec.kafka.topics: events and deadLetters are both named {events:?}"
        ));
    }
    // An object without a topic name may name one later, which the API server can't compare with the topic in use.
    if let Some(had) = had(platform).events.filter(|had| had != events) {
        return invalid(format!(
            "spec.kafka.topics.events.name says {events:?}, but the platform has the topic {had:?}, which can't be renamed: name that \
             one, or delete the object and apply it again under the new name"
        ));
    }
    for name in named.each() {
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
    Ok(named)
}

/// The topic as Kafka should have it.
pub(super) fn wanted(
    name: &str,
    partitions: i32,
    replication_factor: i32,
    retention_hours: i64,
    compression: Compression,
    config: &BTreeMap<String, String>,
) -> Result<kafka::Wanted, Problem> {
    let refuse = |what: &str| Problem::new(Reason::InvalidSpec, format!("topic {name}: {what}"));
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
    // A majority must have a record before it counts; with one or two replicas, that would block writes at the first
    // loss.
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
