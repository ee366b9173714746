//! Who owns a topic that several platforms name. Pure except for [`others`].
//!
//! Invariant: of all platforms that name a topic, exactly one owns it: first a platform that already had it, then the older
//! one, then the smaller uid. All platforms that this operator watches are compared; it can't see those of other operators.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt as _};
use wallex_crd::WalletPlatform;
use wallex_crd::api_error;

use super::conditions::{Problem, Reason};
use super::validate::topic_names;
use crate::scope::Scope;

/// Port of a broker address without one.
const DEFAULT_PORT: &str = "9092";

/// The platforms of all scopes except `platform`, read from the API server now. Skips namespaces that may not be read: this
/// operator can't run their platforms either.
pub async fn others(client: &Client, scopes: &[Scope], platform: &WalletPlatform) -> Vec<WalletPlatform> {
    let mut found = Vec::new();
    for scope in scopes {
        let api: Api<DeserializeGuard<WalletPlatform>> = scope.api(client);
        match api.list(&ListParams::default()).await {
            Ok(list) => found.extend(list.items.into_iter().filter_map(|guard| guard.0.ok())),
            Err(error) => {
                tracing::warn!(
                    ?scope,
                    error = api_error::short(&error),
                    "could not list platforms"
                );
            }
        }
    }
    found.retain(|other| other.uid() != platform.uid());
    found
}

/// The first topic of `platform` that another one owns. `cluster` is the id of its Kafka cluster, if known.
pub fn taken(platform: &WalletPlatform, others: &[WalletPlatform], cluster: Option<&str>) -> Option<Problem> {
    let named = topic_names(platform);
    [("events", named.events), ("deadLetters", named.dead_letters)]
    .into_iter()
    .find_map(|(field, topic)| {
        let owner = owner(&topic, platform, others, cluster)?;
        Some(Problem::new(
            Reason::TopicTaken,
            format!(
                "topic {topic} at {servers} belongs to WalletPlatform {}/{}, so WalletPlatform {}/{} can't have it: name another one \
                 in spec.kafka.topics.{field}.name",
                owner.namespace().unwrap_or_default(),
                owner.name_any(),
                platform.namespace().unwrap_or_default(),
                platform.name_any(),
                servers = platform.spec.kafka.bootstrap_servers,
            ),
        ))
    })
}

/// The owner of `topic`, if that is not `platform`.
pub fn owner<'a>(
    topic: &str,
    platform: &WalletPlatform,
    others: &'a [WalletPlatform],
    cluster: Option<&str>,
) -> Option<&'a WalletPlatform> {
    others
        .iter()
        .filter(|other| names(other, topic) && one_kafka(platform, cluster, other))
        .min_by_key(|other| rank(other, topic))
        .filter(|other| rank(other, topic) < rank(platform, topic))
}

fn names(platform: &WalletPlatform, topic: &str) -> bool {
    topic_names(platform).each().into_iter().any(|name| name == topic)
}

/// Whether two platforms use the same Kafka: by cluster id if both are known, otherwise by their addresses.
fn one_kafka(platform: &WalletPlatform, cluster: Option<&str>, other: &WalletPlatform) -> bool {
    match (cluster.or_else(|| cluster_id(platform)), cluster_id(other)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        (Some(_) | None, _) => !servers(platform).is_disjoint(&servers(other)),
    }
}

/// The id of a platform's Kafka cluster; none: the addresses in the present spec were never asked.
fn cluster_id(platform: &WalletPlatform) -> Option<&str> {
    let known = platform.status.as_ref()?.kafka.as_ref()?;
    let asked = known.bootstrap_servers == platform.spec.kafka.bootstrap_servers;
    asked.then_some(known.cluster_id.as_str())
}

/// The smaller rank wins.
fn rank(platform: &WalletPlatform, topic: &str) -> (bool, Option<Timestamp>, Option<String>) {
    let had = platform
        .status
        .iter()
        .flat_map(|status| &status.topics)
        .any(|row| row.name == topic);
    let created = platform.creation_timestamp().map(|time| time.0);
    (!had, created, platform.uid())
}

/// A platform's bootstrap servers. Two lists with one in common lead to the same cluster.
fn servers(platform: &WalletPlatform) -> BTreeSet<String> {
    let list = platform.spec.kafka.bootstrap_servers.to_ascii_lowercase();
    list.split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .map(|server| match server.rsplit_once(':') {
            Some(_) => server.to_owned(),
            None => format!("{server}:{DEFAULT_PORT}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    fn platform(name: &str, created: &str, servers: &str) -> WalletPlatform {
        serde_json::from_value(json!({
            "apiVersion": "wallex.dev/v1alpha1", "kind": "WalletPlatform",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": created},
            "spec": {
                "image": "i", "database": {"secretRef": {"name": "s"}}, "kafka": {
                    "bootstrapServers": servers,
                    "topics": {"events": {"name": "wallet-events"}, "deadLetters": {"name": "wallet-events-dlq"}},
                },
            },
        }))
        .unwrap()
    }

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-01T00:00:01Z";

    #[test]
    fn the_older_platform_has_the_topic_and_the_younger_is_told_both_names() {
        let (a, b) = (platform("a", EARLY, "k:9092"), platform("b", LATE, "k:9092"));
        assert_eq!(taken(&a, std::slice::from_ref(&b), None), None);
        let problem = taken(&b, &[a], None).unwrap();
        assert_eq!(problem.reason, Reason::TopicTaken);
        assert!(problem.message.contains("shop/a") && problem.message.contains("shop/b"));
    }

    #[test]
    fn of_two_of_one_second_the_smaller_uid_has_it() {
        let (a, b) = (platform("a", EARLY, "k:9092"), platform("b", EARLY, "k:9092"));
        assert!(taken(&a, std::slice::from_ref(&b), None).is_none() && taken(&b, &[a], None).is_some());
    }

    #[test]
    fn one_that_had_the_topic_keeps_it_from_an_older_one_that_names_it_later() {
        let (mut a, mut b) = (platform("a", EARLY, "k:9092"), platform("b", LATE, "k:9092"));
        let row = json!({"topics": [
            {"name": "wallet-events", "partitions": 10, "replicationFactor": 1, "retentionHours": 168},
            {"name": "wallet-events-dlq", "partitions": 10, "replicationFactor": 1, "retentionHours": 168},
        ]});
        b.status = Some(serde_json::from_value(row.clone()).unwrap());
        assert!(
            taken(&b, std::slice::from_ref(&a), None).is_none()
                && taken(&a, std::slice::from_ref(&b), None).is_some()
        );
        a.status = Some(serde_json::from_value(row).unwrap());
        assert!(
            taken(&b, &[a], None).is_some(),
            "both had it: the older one has it"
        );
    }

    #[test]
    fn clusters_are_told_apart_by_their_brokers() {
        let a = platform("a", EARLY, "k-0:9092, k-1");
        assert!(
            taken(
                &platform("b", LATE, "K-1:9092,k-2:9092"),
                std::slice::from_ref(&a),
                None
            )
            .is_some()
        );
        assert!(taken(&platform("b", LATE, "k-1:9093"), std::slice::from_ref(&a), None).is_none());
    }

    fn on(mut platform: WalletPlatform, cluster: &str) -> WalletPlatform {
        let servers = platform.spec.kafka.bootstrap_servers.clone();
        let status = json!({"kafka": {"bootstrapServers": servers, "clusterId": cluster}});
        platform.status = Some(serde_json::from_value(status).unwrap());
        platform
    }

    #[test]
    fn one_kafka_by_two_addresses_is_known_by_its_id() {
        let a = on(platform("a", EARLY, "10.0.0.1:9092"), "one");
        let b = platform("b", LATE, "kafka.kfk.svc:9092");
        let others = std::slice::from_ref(&a);
        assert!(taken(&b, others, Some("one")).is_some());
        assert!(taken(&b, others, Some("two")).is_none());
        assert!(taken(&on(b.clone(), "one"), others, None).is_some());
        // One address that leads to two clusters, such as a name resolved within each namespace.
        let same_address = platform("b", LATE, "10.0.0.1:9092");
        assert!(taken(&same_address, others, Some("two")).is_none());
        // The id belongs to the previous addresses.
        let mut moved = on(b, "one");
        moved.spec.kafka.bootstrap_servers = "elsewhere:9092".to_owned();
        assert!(taken(&moved, others, None).is_none());
    }

    #[test]
    fn platforms_that_name_no_topic_have_topics_of_their_own() {
        let mut a = platform("a", EARLY, "k:9092");
        let mut b = platform("b", LATE, "k:9092");
        for platform in [&mut a, &mut b] {
            platform.spec.kafka.topics = wallex_crd::TopicsSpec::default();
        }
        assert_eq!(taken(&b, &[a], None), None);
        assert_eq!(
            topic_names(&b).each(),
            ["shop.b.wallet-events", "shop.b.wallet-events-dlq"]
        );
    }

    #[test]
    fn other_topics_on_the_same_brokers_are_nobodys_business() {
        let a = platform("a", EARLY, "k:9092");
        let mut b = platform("b", LATE, "k:9092");
        b.spec.kafka.topics.events.name = Some("other".to_owned());
        assert!(
            taken(&b, std::slice::from_ref(&a), None)
                .unwrap()
                .message
                .contains("deadLetters")
        );
        b.spec.kafka.topics.dead_letters.name = Some("other-dlq".to_owned());
        assert_eq!(taken(&b, &[a], None), None);
    }
}
