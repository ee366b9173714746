//! What all pods of a platform have in common: the container, its environment, its rights.
//!
//! Invariant: every pod meets the `restricted` pod security standard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapEnvSource, Container, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource,
    KeyToPath, LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::crd::RunAs;
use crate::names;
use crate::reconcile::validate::{SecretValue, ValidatedPlatform, ValidatedPods};

/// The only container's name.
pub(super) const CONTAINER: &str = "wallex";

/// User and group of the image.
const USER: i64 = 65532;

/// Where containers find the certificates of PostgreSQL's authorities.
const AUTHORITIES: &str = "database-ca";
const AUTHORITIES_FOLDER: &str = "/etc/wallex/database-ca";
const AUTHORITIES_FILE: &str = "ca.crt";

/// What a container asks for unless the spec says otherwise: little enough that a whole platform fits a small machine.
pub const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "20m"), ("memory", "64Mi")];

/// What a container may hold at most unless the spec says otherwise. The roles bound what clients take of them (see
/// `docs/operations.md`, "What clients may take"): a command role whose clients hold all they can stays well below.
const DEFAULT_MEMORY_LIMIT: &str = "1Gi";

/// Default resources: requests, and a limit of memory alone. A limit of CPU would only make bursts slow.
pub(super) fn default_resources() -> ResourceRequirements {
    let requests = DEFAULT_REQUESTS
        .map(|(name, value)| (name.to_owned(), Quantity(value.to_owned())))
        .into();
    ResourceRequirements {
        requests: Some(requests),
        limits: Some([("memory".to_owned(), Quantity(DEFAULT_MEMORY_LIMIT.to_owned()))].into()),
        ..ResourceRequirements::default()
    }
}

/// A container that runs `wallex` with these arguments. What the user adds to `env` stands last.
pub(super) fn container(
    platform: &ValidatedPlatform,
    pods: &ValidatedPods,
    args: Vec<String>,
    mut env: Vec<EnvVar>,
) -> Container {
    env.extend(pods.env.iter().cloned());
    Container {
        name: CONTAINER.to_owned(),
        image: Some(platform.image.clone()),
        image_pull_policy: platform.image_pull_policy.map(str::to_owned),
        args: Some(args),
        env: Some(env),
        resources: Some(pods.resources.clone().unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        // The last lines become the container's termination message, so that a crash explains itself in its status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts(platform)),
        ..Container::default()
    }
}

fn mounts(platform: &ValidatedPlatform) -> Vec<VolumeMount> {
    let mut mounts = vec![VolumeMount {
        name: "tmp".to_owned(),
        mount_path: "/tmp".to_owned(),
        ..VolumeMount::default()
    }];
    mounts.extend(platform.database.authorities.iter().map(|_| VolumeMount {
        name: AUTHORITIES.to_owned(),
        mount_path: AUTHORITIES_FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }));
    mounts
}

/// A file rather than a variable: all authorities of a cloud provider are more than one variable holds.
fn volumes(platform: &ValidatedPlatform) -> Vec<Volume> {
    let mut volumes = vec![Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("64Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }];
    volumes.extend(platform.database.authorities.iter().map(|value| Volume {
        name: AUTHORITIES.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(value.secret.clone()),
            items: Some(vec![KeyToPath {
                key: value.key.clone(),
                path: AUTHORITIES_FILE.to_owned(),
                ..KeyToPath::default()
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }));
    volumes
}

/// A pod around one container.
pub(super) fn spec(platform: &ValidatedPlatform, pods: &ValidatedPods, container: Container) -> PodSpec {
    let user = match platform.run_as {
        RunAs::Image => Some(USER),
        RunAs::Namespace => None,
    };
    PodSpec {
        node_selector: some_unless_empty(&pods.node_selector),
        affinity: pods.affinity.clone(),
        tolerations: (!pods.tolerations.is_empty()).then(|| pods.tolerations.clone()),
        priority_class_name: pods.priority_class.clone(),
        topology_spread_constraints: pods.spread.clone().filter(|spread| !spread.is_empty()),
        service_account_name: Some(platform.name.clone()),
        automount_service_account_token: Some(false),
        // Otherwise Kubernetes adds a variable per Service of the namespace, and pods would differ by their neighbours.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: user,
            run_as_group: user,
            fs_group: user,
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        volumes: Some(volumes(platform)),
        image_pull_secrets: (!platform.image_pull_secrets.is_empty()).then(|| {
            let secrets = platform.image_pull_secrets.iter();
            secrets
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect()
        }),
        containers: vec![container],
        ..PodSpec::default()
    }
}

/// What else decides whether a pod can start and reach its database, as text; nothing of it is said by most platforms.
pub(super) fn access(platform: &ValidatedPlatform) -> Vec<String> {
    let pull = platform
        .image_pull_secrets
        .iter()
        .map(|name| format!("pull {name}"));
    let authorities = platform.database.authorities.iter();
    let authorities = authorities.map(|value| format!("ca {}/{}", value.secret, value.key));
    let user = (platform.run_as == RunAs::Namespace).then(|| "user of the namespace".to_owned());
    pull.chain(authorities).chain(user).collect()
}

/// Metadata of a pod template: `labels` and `annotations` of the operator's own, and what the user adds.
pub(super) fn metadata(
    pods: &ValidatedPods,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
) -> ObjectMeta {
    let mut all_labels = pods.labels.clone();
    all_labels.extend(labels);
    let mut all_annotations = pods.annotations.clone();
    all_annotations.extend(annotations);
    ObjectMeta {
        labels: Some(all_labels),
        annotations: some_unless_empty(&all_annotations),
        ..ObjectMeta::default()
    }
}

fn some_unless_empty(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}

/// Environment of every process: its own name and the databases, by reference. A `component` talks to Redis and Kafka too; the
/// migration and the maintenance don't.
pub(super) fn env(platform: &ValidatedPlatform, component: bool) -> Vec<EnvVar> {
    let mut env = vec![
        EnvVar {
            name: "WALLEX_INSTANCE".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.name".to_owned(),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        secret("WALLEX_DATABASE_URL", &platform.database.url),
    ];
    if let Some(read) = &platform.database.read {
        env.push(secret("WALLEX_READ_DATABASE_URL", &read.url));
    }
    env.extend(platform.database.authorities.iter().map(|_| EnvVar {
        name: names::DATABASE_AUTHORITIES.to_owned(),
        value: Some(format!("{AUTHORITIES_FOLDER}/{AUTHORITIES_FILE}")),
        ..EnvVar::default()
    }));
    if component {
        env.extend(platform.redis.as_ref().map(|url| secret("WALLEX_REDIS_URL", url)));
        let kafka = &platform.kafka_access.secrets;
        env.extend(kafka.iter().map(|(variable, value)| secret(variable, value)));
    }
    env
}

/// Settings as plain variables, for pods that must not depend on the ConfigMap.
pub(super) fn plain<N: Into<String>>(settings: BTreeMap<N, String>) -> impl Iterator<Item = EnvVar> {
    settings.into_iter().map(|(name, value)| EnvVar {
        name: name.into(),
        value: Some(value),
        ..EnvVar::default()
    })
}

/// All of the ConfigMap as variables.
pub(super) fn env_from(platform: &ValidatedPlatform) -> Vec<EnvFromSource> {
    vec![EnvFromSource {
        config_map_ref: Some(ConfigMapEnvSource {
            name: names::config_map(&platform.name),
            optional: None,
        }),
        ..EnvFromSource::default()
    }]
}

/// Hash of the Secret values that a component's pods use.
pub(super) fn secret_hash(platform: &ValidatedPlatform, pods: &ValidatedPods) -> String {
    let read = platform.database.read.as_ref().map(|read| &read.url);
    let hashes = std::iter::once(&platform.database.url)
        .chain(platform.redis.as_ref())
        .chain(read)
        .chain(platform.kafka_access.secrets.iter().map(|(_, value)| value))
        .chain(&platform.database.authorities)
        .map(|value| &value.hash)
        .chain(&pods.secret_hashes);
    names::short_hash(hashes.map(String::as_bytes), 16)
}

fn secret(variable: &str, value: &SecretValue) -> EnvVar {
    EnvVar {
        name: variable.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: value.secret.clone(),
                key: value.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}
