//! Every name and label that the operator assigns, except those of the components. Pure.
//!
//! Invariant: names and labels depend only on the platform's name and the component's name. A Deployment's selector is
//! immutable, so these must not change either.

use std::collections::BTreeMap;

use wallex_domain::PlatformId;

/// The operator's name as field manager (server-side apply), Event reporter and label value of its children.
pub const MANAGER: &str = "wallex-operator";

/// Field manager that states the present number of pods while an autoscaler takes over: without a second owner, the number would
/// fall back to Kubernetes' default as soon as the operator stops stating it.
pub const HANDOVER: &str = "wallex-autoscaler-handover";

/// Hash of the manifest last applied; shows whether the wanted manifest has changed since.
pub const MANIFEST_HASH: &str = "wallex.dev/manifest-hash";
/// On pod templates: hash of the configuration, so that a change rolls the pods.
pub const CONFIG_HASH: &str = "wallex.dev/config-hash";
/// On pod templates: hash of the Secret values the pods use, so that a rotation rolls them.
pub const SECRET_HASH: &str = "wallex.dev/secret-hash";
/// On the publisher's pod template: when the events topic was recreated, so that the pods restart and fill it.
pub const REFILL: &str = "wallex.dev/events-topic-recreated-at";
/// On the Lease: the namespaces that its holder watches, separated by commas; empty: all of them.
pub const WATCHES: &str = "wallex.dev/watches";
/// Finalizer of a platform whose topics are to be deleted with it.
pub const TOPICS_FINALIZER: &str = "wallex.dev/topics";
/// A user's annotation on a platform that is being deleted: `true` releases it and keeps its topics.
pub const ABANDON_TOPICS: &str = "wallex.dev/abandon-topics";

/// A user's annotation: comma-separated names of topics that the platform takes over from their present owners.
pub const ADOPT_TOPICS: &str = "wallex.dev/adopt-topics";
/// A user's annotation: the id of the journal to give up, so that a database without it may be used.
pub const ACCEPT_JOURNAL_LOSS: &str = "wallex.dev/accept-journal-loss";
/// On the ConfigMap: hash of everything pods need to reach Kafka, so that a change can wait until the brokers answer.
pub const KAFKA_HASH: &str = "wallex.dev/kafka-hash";

/// Pod labels that the operator or Kubernetes sets; users may not set them.
pub const OWNED_LABELS: [&str; 6] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/part-of",
    "pod-template-hash",
];

/// Tell the migration what the platform has written: the number of events, and the journal's id. Older images ignore them.
pub const EXPECT_EVENTS: &str = "WALLEX_EXPECT_EVENTS";
/// See [`EXPECT_EVENTS`].
pub const EXPECT_JOURNAL: &str = "WALLEX_EXPECT_JOURNAL";

/// The file for a process's termination message, for the operator.
pub const LAST_WORDS: &str = "WALLEX_TERMINATION_MESSAGE";

/// Variables that the operator sets: each has its field in the spec, or is derived from the platform.
pub const OWNED_VARIABLES: [&str; 32] = [
    "WALLEX_CLUSTER",
    "WALLEX_NAMESPACE",
    "WALLEX_PLATFORM",
    "WALLEX_INSTANCE",
    "WALLEX_LISTEN",
    "WALLEX_DATABASE_URL",
    "WALLEX_DATABASE_MAX_CONNECTIONS",
    "WALLEX_READ_DATABASE_URL",
    "WALLEX_KAFKA_BOOTSTRAP_SERVERS",
    "WALLEX_KAFKA_SECURITY_PROTOCOL",
    KAFKA_AUTHORITIES,
    "WALLEX_KAFKA_CERTIFICATE",
    "WALLEX_KAFKA_CERTIFICATE_KEY",
    "WALLEX_KAFKA_SASL_MECHANISM",
    "WALLEX_KAFKA_SASL_USERNAME",
    "WALLEX_KAFKA_SASL_PASSWORD",
    "WALLEX_KAFKA_EVENTS_TOPIC",
    "WALLEX_KAFKA_DEAD_LETTERS_TOPIC",
    "WALLEX_REDIS_URL",
    "WALLEX_LOG",
    "WALLEX_LOG_FORMAT",
    "WALLEX_SHUTDOWN_SECONDS",
    "WALLEX_QUEUE_CAPACITY",
    "WALLEX_MAX_BATCH",
    "WALLEX_COMMAND_TIMEOUT_MS",
    "WALLEX_IDEMPOTENCY_RETENTION_HOURS",
    "WALLEX_CURRENCIES",
    "WALLEX_OTLP_ENDPOINT",
    "WALLEX_TRACE_SAMPLE_RATIO",
    EXPECT_EVENTS,
    EXPECT_JOURNAL,
    LAST_WORDS,
];

/// The variable with the path of the CA certificates for PostgreSQL's clients.
pub const DATABASE_AUTHORITIES: &str = "PGSSLROOTCERT";
/// The same for the brokers: the certificates themselves, or their path.
pub const KAFKA_AUTHORITIES: &str = "WALLEX_KAFKA_CA";
/// The same for Redis.
pub const REDIS_AUTHORITIES: &str = "WALLEX_REDIS_CA";

/// Where command pods hand commands on to each other. An empty value in `extraEnv` switches that off.
pub const INTERNAL_LISTEN: &str = "WALLEX_INTERNAL_LISTEN";

/// Maximum open holds per wallet.
pub const MAX_OPEN_HOLDS: &str = "WALLEX_MAX_OPEN_HOLDS";

/// The port that every role listens on: API, health and metrics.
pub const HTTP_PORT: i32 = 8080;
/// Name of that port in pods and Services.
pub const HTTP_PORT_NAME: &str = "http";
/// The port on which command pods hand commands on to each other, and its name.
pub const INTERNAL_PORT: i32 = 8081;
pub const INTERNAL_PORT_NAME: &str = "internal";

/// Where a process reports whether it is ready and, if not, why.
pub const READY: &str = "/health/ready";
/// The name of the only container in the pods of a platform.
pub const CONTAINER: &str = "wallex";

/// The id of a platform, as its database also records it.
pub fn platform_id(cluster: &str, namespace: &str, platform: &str) -> String {
    let (cluster, namespace, name) = (cluster.to_owned(), namespace.to_owned(), platform.to_owned());
    PlatformId {
        cluster,
        namespace,
        name,
    }
    .to_string()
}

/// The name of a journal in [`ACCEPT_JOURNAL_LOSS`].
pub fn journal_name(id: Option<&str>) -> &str {
    id.unwrap_or("unnamed")
}

/// The `ce_source` of a platform's records (`wallex_journal::cloud_event`).
pub fn source(platform: &str) -> String {
    format!("wallex/{platform}")
}

/// The events topic of a platform that names none. Neither a namespace nor a name contains a dot, so no two platforms in a
/// cluster share one.
pub fn events_topic(namespace: &str, platform: &str) -> String {
    format!("{namespace}.{platform}.wallet-events")
}

/// The same for its dead letters.
pub fn dead_letters_topic(namespace: &str, platform: &str) -> String {
    format!("{namespace}.{platform}.wallet-events-dlq")
}

/// `demo-config`: the ConfigMap.
pub fn config_map(platform: &str) -> String {
    format!("{platform}-config")
}

/// `demo-dashboards`: the ConfigMap of dashboards.
pub fn dashboards(platform: &str) -> String {
    format!("{platform}-dashboards")
}

/// `demo-maintain`: the CronJob.
pub fn maintain(platform: &str) -> String {
    format!("{platform}-maintain")
}

/// `demo-migrate-1a2b3c4d5e`: the migration Job for a certain image and arguments.
pub fn migrate(platform: &str, hash: &str) -> String {
    format!("{platform}-migrate-{hash}")
}

/// Labels of a child. `role` is the component, `migrate` or `maintain`; objects of the whole platform have none.
pub fn labels(platform: &str, role: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = selector(platform, role);
    labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
    labels.insert("app.kubernetes.io/part-of".to_owned(), "wallex".to_owned());
    labels
}

/// The labels that select pods.
pub fn selector(platform: &str, role: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "wallex".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), platform.to_owned()),
    ]);
    if let Some(role) = role {
        labels.insert("app.kubernetes.io/component".to_owned(), role.to_owned());
    }
    labels
}

/// Label selector that finds all children of one platform.
pub fn children_of(platform: &str) -> String {
    format!("app.kubernetes.io/managed-by={MANAGER},app.kubernetes.io/instance={platform}")
}

/// Whether [`children_of`] matches these labels.
pub fn is_child_of(labels: &BTreeMap<String, String>, platform: &str) -> bool {
    let has = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    has("app.kubernetes.io/managed-by", MANAGER) && has("app.kubernetes.io/instance", platform)
}

/// Label selector that finds the children of all platforms.
pub fn all_children() -> String {
    format!("app.kubernetes.io/managed-by={MANAGER}")
}

/// The first `length` hex digits of a BLAKE3 hash over parts; each part is preceded by its length, so that no two lists collide by shifting.
pub fn short_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>, length: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(length);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_of_the_longest_platform_name_fits_its_limit() {
        let platform = "a".repeat(40);
        for component in crate::Component::ROLLOUT {
            assert!(component.object(&platform).len() <= 63);
        }
        assert!(migrate(&platform, "0123456789").len() <= 63);
        assert!(
            maintain(&platform).len() <= 52,
            "a CronJob appends 11 characters to the names of its Jobs"
        );
    }

    #[test]
    fn a_hash_tells_apart_parts_that_join_to_the_same_text() {
        assert_ne!(
            short_hash([&b"ab"[..], b"c"], 16),
            short_hash([&b"a"[..], b"bc"], 16)
        );
    }
}
