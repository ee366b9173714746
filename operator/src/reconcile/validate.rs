//! Second stage: turns what was read into a [`ValidatedPlatform`], or says what is wrong. Pure.
//!
//! Invariant: no later stage looks at the raw spec or at a Secret's value. Whoever holds a `ValidatedPlatform` need not check again.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use super::conditions::{Problem, reasons};
use super::dereference::Dereferenced;
use crate::crd::{Compression, LoggingSpec, SecretKeyRef, WalletPlatform};
use crate::kafka;
use crate::names::{self, Component};

/// A platform that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedPlatform {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub generation: i64,
    /// Reference to the platform, for its children.
    pub owner: OwnerReference,
    /// Uid of the namespace kube-system; with namespace and name it is the platform's id.
    pub cluster: String,
    pub image: String,
    pub image_pull_policy: Option<&'static str>,
    /// What the journal gets: never fewer than it was given before.
    pub partitions: i32,
    /// What the spec says, when that is fewer.
    pub fewer_partitions_asked: Option<i32>,
    pub database: Database,
    pub redis: Option<SecretValue>,
    pub bootstrap_servers: String,
    pub topics: Vec<kafka::Wanted>,
    pub logging: LoggingSpec,
    pub components: BTreeMap<Component, ValidatedComponent>,
}

/// The PostgreSQL of a validated platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub url: SecretValue,
    /// Host, port and database of the URL, without credentials: another one must be migrated anew.
    pub location: String,
    pub max_connections: i32,
}

/// A Secret's value that is known to exist, by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretValue {
    pub secret: String,
    pub key: String,
    /// Hash of the value, salted with the platform's uid.
    pub hash: String,
}

/// One component of a validated platform.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedComponent {
    pub replicas: i32,
    pub resources: Option<ResourceRequirements>,
}

/// Indices of [`ValidatedPlatform::topics`].
pub const EVENTS: usize = 0;
/// See [`EVENTS`].
pub const DEAD_LETTERS: usize = 1;

impl ValidatedPlatform {
    /// The component's settings.
    pub fn component(&self, component: Component) -> &ValidatedComponent {
        &self.components[&component]
    }
}

/// Validates. Everything the API server's schema already refuses is checked only where a wrong value would do harm.
///
/// # Errors
/// The first thing that is wrong, with its reason and a message that names it.
pub fn run(
    platform: &WalletPlatform,
    found: &Dereferenced,
    cluster: &str,
) -> Result<ValidatedPlatform, Problem> {
    let spec = &platform.spec;
    let name = platform.name_any();
    let namespace = platform.namespace().unwrap_or_default();
    let uid = platform.uid().unwrap_or_default();
    if name.len() > 40 || !name.starts_with(|first: char| first.is_ascii_lowercase()) || name.contains('.') {
        return Err(Problem::new(
            reasons::INVALID_SPEC,
            format!(
                "the name {name:?} must have at most 40 characters, start with a letter, and hold no dot"
            ),
        ));
    }

    let url = secret_value(&spec.database.secret_ref, found, &namespace, &uid)?;
    let location = database_location(&url.1)
        .ok_or_else(|| not_a_url(&namespace, &url.0, &["postgres", "postgresql"]))?;
    let database = Database {
        url: url.0,
        location,
        max_connections: spec.database.max_connections,
    };
    let redis = match &spec.redis {
        None => None,
        Some(redis) => {
            let (value, text) = secret_value(&redis.secret_ref, found, &namespace, &uid)?;
            let schemes = ["redis", "rediss"];
            if !schemes
                .iter()
                .any(|scheme| text.starts_with(&format!("{scheme}://")))
            {
                return Err(not_a_url(&namespace, &value, &schemes));
            }
            Some(value)
        }
    };

    let migrated = platform.status.as_ref().and_then(|status| status.schema.as_ref());
    let partitions = migrated.map_or(spec.partitions, |schema| schema.partitions.max(spec.partitions));
    let events = &spec.kafka.topics.events;
    let dead_letters = &spec.kafka.topics.dead_letters;
    let topics = vec![
        topic(
            &events.name,
            partitions,
            events.replication_factor,
            events.retention_hours,
            events.compression,
            &events.config,
        )?,
        topic(
            &dead_letters.name,
            partitions,
            dead_letters.replication_factor,
            dead_letters.retention_hours,
            dead_letters.compression,
            &dead_letters.config,
        )?,
    ];
    if events.name == dead_letters.name {
        return Err(Problem::new(
            reasons::INVALID_SPEC,
            format!(
                "spec.kafka.topics: events and deadLetters are both named {:?}",
                events.name
            ),
        ));
    }

    let components = Component::ROLLOUT
        .into_iter()
        .map(|component| {
            let asked = match component {
                Component::Publisher => &spec.publisher,
                Component::LedgerProjector => &spec.projectors.ledger,
                Component::ReadModelProjector => &spec.projectors.read_model,
                Component::Query => &spec.query,
                Component::Command => &spec.command,
            };
            let settings = ValidatedComponent {
                replicas: asked.replicas,
                resources: asked.resources.clone(),
            };
            (component, settings)
        })
        .collect();

    Ok(ValidatedPlatform {
        generation: platform.metadata.generation.unwrap_or_default(),
        // An object that was read from the API server always has a name and a uid.
        owner: platform.controller_owner_ref(&()).unwrap_or_default(),
        cluster: cluster.to_owned(),
        image: spec.image.clone(),
        image_pull_policy: spec.image_pull_policy.map(crate::crd::ImagePullPolicy::as_str),
        partitions,
        fewer_partitions_asked: (spec.partitions < partitions).then_some(spec.partitions),
        database,
        redis,
        bootstrap_servers: spec.kafka.bootstrap_servers.clone(),
        topics,
        logging: spec.logging,
        components,
        name,
        namespace,
        uid,
    })
}

/// The value a reference points at, and its text.
fn secret_value(
    reference: &SecretKeyRef,
    found: &Dereferenced,
    namespace: &str,
    uid: &str,
) -> Result<(SecretValue, String), Problem> {
    let SecretKeyRef { name, key } = reference;
    let Some(values) = found.secrets.get(name) else {
        return Err(Problem::new(
            reasons::SECRET_NOT_FOUND,
            format!("Secret {namespace}/{name} does not exist"),
        ));
    };
    let Some(value) = values.0.get(key) else {
        return Err(Problem::new(
            reasons::SECRET_KEY_MISSING,
            format!("Secret {namespace}/{name} has no key {key:?}"),
        ));
    };
    let hash = names::short_hash([uid.as_bytes(), value], 16);
    let text = String::from_utf8_lossy(value).trim().to_owned();
    Ok((
        SecretValue {
            secret: name.clone(),
            key: key.clone(),
            hash,
        },
        text,
    ))
}

/// Never shows the value, which holds a password.
fn not_a_url(namespace: &str, value: &SecretValue, schemes: &[&str]) -> Problem {
    let schemes = schemes
        .iter()
        .map(|scheme| format!("{scheme}://"))
        .collect::<Vec<_>>()
        .join(" or ");
    Problem::new(
        reasons::SECRET_INVALID,
        format!(
            "key {:?} of Secret {namespace}/{} must be a URL that starts with {schemes}",
            value.key, value.secret
        ),
    )
}

/// `host:port/database` of a PostgreSQL URL, with those parameters that say the same by name. Neither user nor password.
fn database_location(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))?;
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold '@' or '/' unescaped, so the last '@' ends the credentials.
    let address = address.rsplit_once('@').map_or(address, |(_, address)| address);
    let mut location = address.trim_end_matches('/').to_owned();
    for parameter in query.split('&') {
        if let Some(("host" | "hostaddr" | "port" | "dbname", _)) = parameter.split_once('=') {
            location.push(';');
            location.push_str(parameter);
        }
    }
    Some(location)
}

fn topic(
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
