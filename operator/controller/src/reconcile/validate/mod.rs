//! Second stage: turns what was read into a [`ValidatedPlatform`], or says what is wrong. Pure.
//!
//! Invariant: no later stage reads the raw spec or, except for the brokers' credentials, a Secret's value. Code that has a
//! `ValidatedPlatform` need not check again.

mod autoscaling;
mod component;
mod kafka_access;
mod network;
mod pods;
mod secrets;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};
use wallex_crd::{
    Component, DashboardsSettings, LoggingSpec, MigrationSpec, RunAs, ServiceMonitorSettings, TracingSpec,
    WalletPlatform, WalletPlatformSpec, currencies_setting, names,
};

use super::conditions::{Problem, Reason};
use super::dereference::Dereferenced;
use crate::kafka;
pub use autoscaling::{Autoscaling, ForeignAutoscaler, LagDriver, Measure, Steps};
pub use component::ValidatedComponent;
pub use kafka_access::KafkaAccess;
pub use pods::ValidatedPods;
use secrets::Secrets;
pub use secrets::{Authorities, Holder, SecretValue};
pub use topics::{Topics, names as topic_names};

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
    /// Names of the image pull Secrets.
    pub image_pull_secrets: Vec<String>,
    pub run_as: RunAs,
    /// The journal's partitions: never fewer than before.
    pub partitions: i32,
    /// The number in the spec, if that is fewer.
    pub fewer_partitions_asked: Option<i32>,
    /// The number in the spec, if that is more and the increase is not allowed.
    pub more_partitions_asked: Option<i32>,
    /// No component gets pods.
    pub suspended: bool,
    pub database: Database,
    /// What the platform is known to have written and its database must contain; none: nothing, or a person gave it up.
    pub history: Option<History>,
    /// When a missing schema made the migration due again; none: never.
    pub migrate_again: Option<String>,
    pub redis: Option<Redis>,
    /// The only part with secret values, for the topics stage; its `Debug` shows none.
    pub kafka: kafka::Connection,
    /// The pods' Kafka settings besides the addresses.
    pub kafka_access: KafkaAccess,
    pub topics: Topics<kafka::Wanted>,
    /// Topics that the platform takes over from their present owners.
    pub adopt_topics: Vec<String>,
    /// When the events topic was last recreated; none: never.
    pub events_recreated_at: Option<String>,
    pub logging: LoggingSpec,
    /// None: no traces.
    pub tracing: Option<TracingSpec>,
    /// None: the services' own default.
    pub idempotency_retention_hours: Option<i32>,
    /// None: the services' own default.
    pub max_open_holds: Option<i32>,
    /// In the format of the services' setting; none: only ISO 4217.
    pub currencies: Option<String>,
    pub components: BTreeMap<Component, ValidatedComponent>,
    /// What scales the components that scale by lag.
    pub lag_driver: LagDriver,
    /// Pods of migration and maintenance.
    pub jobs: ValidatedPods,
    /// TCP ports that pods may connect to; none: no NetworkPolicy.
    pub egress_ports: Option<BTreeSet<i32>>,
    /// None: no ServiceMonitor.
    pub service_monitor: Option<ServiceMonitorSettings>,
    /// None: no dashboards.
    pub dashboards: Option<DashboardsSettings>,
}

/// The PostgreSQL of a validated platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub url: SecretValue,
    /// CA certificates for both databases; none: the public CAs.
    pub authorities: Option<Authorities>,
    /// Host, port and database of the URL, without credentials: another location needs its own migration.
    pub location: String,
    pub max_connections: i32,
    /// The read side's own database; none: it shares the journal's.
    pub read: Option<ReadDatabase>,
    pub migration: MigrationSpec,
}

/// The Redis of a validated platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    pub url: SecretValue,
    /// Its CA certificates; none: those of the image.
    pub authorities: Option<Authorities>,
}

/// What a platform is known to have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The journal's id, if known.
    pub journal: Option<String>,
    /// Lower bound of its events.
    pub events: i64,
}

/// The read side's own database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDatabase {
    pub url: SecretValue,
    /// See [`Database::location`].
    pub location: String,
}

impl ValidatedPlatform {
    /// The component's settings.
    pub fn component(&self, component: Component) -> &ValidatedComponent {
        &self.components[&component]
    }
}

/// Validates. What the API server's schema already refuses is checked again only where a wrong value would do harm.
///
/// # Errors
/// The first problem, with its reason and a message that names it.
pub fn platform(
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
            Reason::InvalidSpec,
            format!(
                "the name {name:?} must have at most 40 characters, start with a letter, and hold no dot"
            ),
        ));
    }

    let secrets = Secrets {
        found,
        namespace: &namespace,
        uid: &uid,
    };
    let mut ports = network::Ports::default();
    let database = database(spec, &secrets, &mut ports)?;
    let redis = match &spec.redis {
        None => None,
        Some(redis) => {
            let (url, text) = secrets.url(&redis.secret_ref, &["redis", "rediss"])?;
            ports.redis(&text);
            let found =
                secrets.authorities(redis.ca_secret_ref.as_ref(), redis.ca_config_map_ref.as_ref())?;
            let authorities = found.map(|(authorities, _)| authorities);
            Some(Redis { url, authorities })
        }
    };
    ports.kafka(&spec.kafka.bootstrap_servers);
    if let Some(tracing) = &spec.tracing {
        ports.http(&tracing.endpoint);
    }
    let (kafka, kafka_access) = kafka_access::validated(&spec.kafka, &secrets)?;

    let migrated = platform.status.as_ref().and_then(|status| status.schema.as_ref());
    let partitions = match migrated {
        Some(schema) if spec.partitions < schema.partitions || !spec.allow_partition_increase => {
            schema.partitions
        }
        Some(_) | None => spec.partitions,
    };
    let events = &spec.kafka.topics.events;
    let dead_letters = &spec.kafka.topics.dead_letters;
    let named = topics::checked(platform)?;
    let topics = Topics {
        events: topics::wanted(
            &named.events,
            partitions,
            events.replication_factor,
            events.retention_hours,
            events.compression,
            &events.config,
        )?,
        dead_letters: topics::wanted(
            &named.dead_letters,
            partitions,
            dead_letters.replication_factor,
            dead_letters.retention_hours,
            dead_letters.compression,
            &dead_letters.config,
        )?,
    };
    let components = Component::ROLLOUT
        .into_iter()
        .map(|component| {
            let validated = component::validated(spec, component, &name, partitions, &secrets)?;
            Ok((component, validated))
        })
        .collect::<Result<BTreeMap<_, _>, Problem>>()?;
    let jobs = pods::validated("jobs", &spec.jobs, &names::selector(&name, None), &secrets)?;
    let redis_authorities = redis.as_ref().and_then(|redis| redis.authorities.as_ref());
    for (variable, field) in [
        (
            names::DATABASE_AUTHORITIES,
            database
                .authorities
                .as_ref()
                .map(|found| ca_field("database", found)),
        ),
        (
            names::REDIS_AUTHORITIES,
            redis_authorities.map(|found| ca_field("redis", found)),
        ),
        (
            names::MAX_OPEN_HOLDS,
            spec.max_open_holds.map(|_| "maxOpenHolds".to_owned()),
        ),
    ] {
        let all = components
            .values()
            .map(|component| &component.pods)
            .chain([&jobs]);
        if let Some(field) = field {
            pods::refuse_variable(all, variable, &field)?;
        }
    }
    let egress_ports = spec
        .network_policy
        .enabled
        .then(|| ports.with(&spec.network_policy.extra_egress_ports));
    let service_monitor = &spec.monitoring.service_monitor;
    pods::refuse_owned_labels("monitoring.serviceMonitor.labels", &service_monitor.labels)?;
    let dashboards = &spec.monitoring.dashboards;
    pods::refuse_owned_labels("monitoring.dashboards.labels", &dashboards.labels)?;

    Ok(ValidatedPlatform {
        generation: platform.metadata.generation.unwrap_or_default(),
        // An object read from the API server always has a name and a uid.
        owner: platform.controller_owner_ref(&()).unwrap_or_default(),
        cluster: cluster.to_owned(),
        image: spec.image.clone(),
        image_pull_secrets: spec
            .image_pull_secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        run_as: spec.run_as,
        image_pull_policy: spec.image_pull_policy.map(wallex_crd::ImagePullPolicy::as_str),
        partitions,
        fewer_partitions_asked: (spec.partitions < partitions).then_some(spec.partitions),
        more_partitions_asked: (spec.partitions > partitions).then_some(spec.partitions),
        suspended: spec.suspended,
        database,
        history: history(platform),
        migrate_again: migrated
            .and_then(|schema| schema.migrated_again_at.as_ref())
            .map(|at| at.0.to_string()),
        redis,
        kafka,
        kafka_access,
        topics,
        adopt_topics: adopted(platform),
        events_recreated_at: recreated_at(platform, &named.events),
        logging: spec.logging,
        tracing: spec.tracing.clone(),
        idempotency_retention_hours: spec.idempotency_retention_hours,
        max_open_holds: spec.max_open_holds,
        currencies: (!spec.currencies.is_empty()).then(|| currencies_setting(&spec.currencies)),
        components,
        lag_driver: autoscaling::lag_driver(spec.autoscaling.driver, found.no_keda),
        jobs,
        egress_ports,
        service_monitor: service_monitor.enabled.then(|| service_monitor.clone()),
        dashboards: dashboards.enabled.then(|| dashboards.clone()),
        name,
        namespace,
        uid,
    })
}

/// Only the brokers' connection, for a platform that needs nothing else any more.
///
/// # Errors
/// When a Secret it needs is missing or invalid.
pub fn connection(platform: &WalletPlatform, found: &Dereferenced) -> Result<kafka::Connection, Problem> {
    let secrets = Secrets {
        found,
        namespace: &platform.namespace().unwrap_or_default(),
        uid: &platform.uid().unwrap_or_default(),
    };
    kafka_access::validated(&platform.spec.kafka, &secrets).map(|(connection, _)| connection)
}

fn recreated_at(platform: &WalletPlatform, events: &str) -> Option<String> {
    let row = platform
        .status
        .as_ref()?
        .topics
        .iter()
        .find(|row| row.name == events)?;
    row.recreated_at.as_ref().map(|time| time.0.to_string())
}

/// A journal is given up by its id, so the permission does not extend to the journal that follows.
fn history(platform: &WalletPlatform) -> Option<History> {
    let journal = platform.status.as_ref()?.journal.as_ref()?;
    let given_up = platform.annotations().get(names::ACCEPT_JOURNAL_LOSS);
    let is_given_up = given_up.is_some_and(|id| id == names::journal_name(journal.id.as_deref()));
    (journal.events > 0 && !is_given_up).then(|| History {
        journal: journal.id.clone(),
        events: journal.events,
    })
}

/// The topics that a user wants taken over.
fn adopted(platform: &WalletPlatform) -> Vec<String> {
    let said = platform.annotations().get(names::ADOPT_TOPICS);
    let topics = said.into_iter().flat_map(|topics| topics.split(','));
    topics
        .map(str::trim)
        .filter(|topic| !topic.is_empty())
        .map(str::to_owned)
        .collect()
}

fn database(
    spec: &WalletPlatformSpec,
    secrets: &Secrets<'_>,
    ports: &mut network::Ports,
) -> Result<Database, Problem> {
    let (url, location, text) = secrets.postgres(&spec.database.secret_ref)?;
    ports.postgres(&text);
    let read = match &spec.database.read_secret_ref {
        None => None,
        Some(reference) => {
            let (url, location, text) = secrets.postgres(reference)?;
            ports.postgres(&text);
            Some(ReadDatabase { url, location })
        }
    };
    let asked = &spec.database;
    let found = secrets.authorities(asked.ca_secret_ref.as_ref(), asked.ca_config_map_ref.as_ref())?;
    Ok(Database {
        authorities: found.map(|(authorities, _)| authorities),
        url,
        location,
        max_connections: spec.database.max_connections,
        read,
        migration: spec.database.migration,
    })
}

/// The field that says where CA certificates are.
fn ca_field(of: &str, authorities: &Authorities) -> String {
    match authorities.holder {
        Holder::Secret => format!("{of}.caSecretRef"),
        Holder::ConfigMap => format!("{of}.caConfigMapRef"),
    }
}
