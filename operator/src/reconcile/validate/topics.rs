//! The configuration of a topic, from what the spec says. Pure.

use std::collections::BTreeMap;

use crate::crd::Compression;
use crate::kafka;
use crate::reconcile::conditions::{Problem, reasons};

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
            "say retention.ms by retentionHours and compression.type by compression",
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
