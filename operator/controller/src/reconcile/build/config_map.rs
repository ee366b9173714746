//! The ConfigMap: every non-secret setting of the services, as environment variables.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use wallex_crd::names;

use super::metadata;
use crate::reconcile::validate::ValidatedPlatform;

/// Seconds that a service may take to finish its work. Together with the pause before it (deployment.rs), it fits into the grace
/// period.
pub(super) const SHUTDOWN_SECONDS: i64 = 25;

/// Settings of every process of the platform: the platform's id, which the journal remembers, and the log format.
pub(super) fn identity(platform: &ValidatedPlatform) -> BTreeMap<String, String> {
    let log = platform.logging.filter();
    [
        ("WALLEX_CLUSTER", platform.cluster.as_str()),
        ("WALLEX_NAMESPACE", &platform.namespace),
        ("WALLEX_PLATFORM", &platform.name),
        ("WALLEX_LOG", &log),
        ("WALLEX_LOG_FORMAT", platform.logging.format.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

pub(super) fn build(platform: &ValidatedPlatform) -> ConfigMap {
    let mut data = identity(platform);
    data.extend(
        [
            ("WALLEX_LISTEN", format!("0.0.0.0:{}", names::HTTP_PORT)),
            // Of use to command pods only.
            (
                names::INTERNAL_LISTEN,
                format!("0.0.0.0:{}", names::INTERNAL_PORT),
            ),
            (
                "WALLEX_DATABASE_MAX_CONNECTIONS",
                platform.database.max_connections.to_string(),
            ),
            (
                "WALLEX_KAFKA_BOOTSTRAP_SERVERS",
                platform.kafka.bootstrap_servers.clone(),
            ),
            ("WALLEX_KAFKA_EVENTS_TOPIC", platform.topics.events.name.clone()),
            (
                "WALLEX_KAFKA_DEAD_LETTERS_TOPIC",
                platform.topics.dead_letters.name.clone(),
            ),
            ("WALLEX_SHUTDOWN_SECONDS", SHUTDOWN_SECONDS.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    data.extend(
        platform
            .kafka_access
            .settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    // Only if set: otherwise pods use the services' default and need no restart.
    if let Some(hours) = platform.idempotency_retention_hours {
        data.insert("WALLEX_IDEMPOTENCY_RETENTION_HOURS".to_owned(), hours.to_string());
    }
    if let Some(holds) = platform.max_open_holds {
        data.insert(names::MAX_OPEN_HOLDS.to_owned(), holds.to_string());
    }
    if let Some(currencies) = &platform.currencies {
        data.insert("WALLEX_CURRENCIES".to_owned(), currencies.clone());
    }
    if let Some(tracing) = &platform.tracing {
        data.insert("WALLEX_OTLP_ENDPOINT".to_owned(), tracing.endpoint.clone());
        if let Some(ratio) = &tracing.sample_ratio {
            data.insert("WALLEX_TRACE_SAMPLE_RATIO".to_owned(), ratio.clone());
        }
    }
    let mut metadata = metadata(platform, names::config_map(&platform.name), None);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(names::KAFKA_HASH.to_owned(), kafka_hash(platform, &data));
    ConfigMap {
        metadata,
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// Hash of everything pods need to reach Kafka, including values from Secrets and ConfigMaps.
fn kafka_hash(platform: &ValidatedPlatform, data: &BTreeMap<String, String>) -> String {
    let secrets = platform.kafka_access.secrets.iter();
    let secrets = secrets.flat_map(|(variable, value)| [variable.as_bytes(), value.hash.as_bytes()]);
    let settings = data.iter().filter(|(key, _)| is_kafkas(key));
    let settings = settings.flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
    let authorities = platform.kafka_access.authorities.iter();
    let authorities = authorities.map(|authorities| authorities.hash.as_bytes());
    names::short_hash(settings.chain(secrets).chain(authorities), 16)
}

fn is_kafkas(key: &str) -> bool {
    key.starts_with("WALLEX_KAFKA_")
}

/// Whether pods with the settings `wanted` would reach Kafka differently from those with `live`. A ConfigMap from an older
/// operator has no hash; then only the non-secret settings are compared.
pub fn reaches_kafka_otherwise(wanted: &ConfigMap, live: &ConfigMap) -> bool {
    let hash = |of: &ConfigMap| of.annotations().get(names::KAFKA_HASH).cloned();
    match (hash(wanted), hash(live)) {
        (Some(wanted), Some(live)) => wanted != live,
        (Some(_) | None, _) => {
            let (wanted, live) = (wanted.data.iter().flatten(), live.data.iter().flatten());
            let kafka = |(key, _): &(&String, &String)| is_kafkas(key);
            !wanted.filter(kafka).eq(live.filter(kafka))
        }
    }
}

/// Hash of the settings, for pod templates.
pub(super) fn hash(config_map: &ConfigMap) -> String {
    let data = config_map.data.iter().flatten();
    names::short_hash(
        data.flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]),
        16,
    )
}
