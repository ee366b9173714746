//! What all pods of a platform share: the container, its environment, its rights.
//!
//! Invariant: every pod meets the `restricted` pod security standard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapEnvSource, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvFromSource,
    EnvVar, EnvVarSource, KeyToPath, LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wallex_crd::RunAs;
use wallex_crd::names;

use crate::reconcile::validate::{Authorities, Holder, SecretValue, ValidatedPlatform, ValidatedPods};

/// Where Kubernetes reads the termination message; its own default.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// User and group of the image.
const USER: i64 = 65532;

/// The file with the CA certificates, whatever their key is called.
const AUTHORITIES_FILE: &str = "ca.crt";

/// CA certificates that a container gets as a file instead of a variable: a cloud provider's full bundle does not fit into a
/// variable.
struct Trusted<'a> {
    volume: &'static str,
    /// The variable that names the file.
    variable: &'static str,
    authorities: &'a Authorities,
}

impl Trusted<'_> {
    fn folder(&self) -> String {
        format!("/etc/wallex/{}", self.volume)
    }

    fn volume(&self) -> Volume {
        let items = vec![KeyToPath {
            key: self.authorities.key.clone(),
            path: AUTHORITIES_FILE.to_owned(),
            ..KeyToPath::default()
        }];
        let name = self.authorities.name.clone();
        let volume = Volume {
            name: self.volume.to_owned(),
            ..Volume::default()
        };
        match self.authorities.holder {
            Holder::Secret => Volume {
                secret: Some(SecretVolumeSource {
                    secret_name: Some(name),
                    items: Some(items),
                    ..SecretVolumeSource::default()
                }),
                ..volume
            },
            Holder::ConfigMap => Volume {
                config_map: Some(ConfigMapVolumeSource {
                    name,
                    items: Some(items),
                    ..ConfigMapVolumeSource::default()
                }),
                ..volume
            },
        }
    }
}

/// For a `component`, or for migration and maintenance, which talk to neither Redis nor Kafka.
fn trusted(platform: &ValidatedPlatform, component: bool) -> impl Iterator<Item = Trusted<'_>> {
    let redis = platform.redis.as_ref().filter(|_| component);
    let kafka = Some(&platform.kafka_access).filter(|_| component);
    [
        (
            "database-ca",
            names::DATABASE_AUTHORITIES,
            platform.database.authorities.as_ref(),
        ),
        (
            "kafka-ca",
            names::KAFKA_AUTHORITIES,
            kafka.and_then(|kafka| kafka.authorities.as_ref()),
        ),
        (
            "redis-ca",
            names::REDIS_AUTHORITIES,
            redis.and_then(|redis| redis.authorities.as_ref()),
        ),
    ]
    .into_iter()
    .filter_map(|(volume, variable, authorities)| {
        Some(Trusted {
            volume,
            variable,
            authorities: authorities?,
        })
    })
}

/// Default requests of a container: small enough that a whole platform fits on a small machine.
pub const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "20m"), ("memory", "64Mi")];

/// Default memory limit of a container. The roles bound what clients can use (see `docs/operations.md`, "Client
/// limits"): a command role whose clients use all they can stays well below it.
const DEFAULT_MEMORY_LIMIT: &str = "1Gi";

/// Default resources: requests and a memory limit. A CPU limit would only slow down bursts.
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

/// A container that runs `wallex` with these arguments and its `own` variables. Variables added by the user come last. A
/// `component` also talks to Redis and Kafka; migration and maintenance don't.
pub(super) fn container(
    platform: &ValidatedPlatform,
    pods: &ValidatedPods,
    args: Vec<String>,
    component: bool,
    own: impl IntoIterator<Item = EnvVar>,
) -> Container {
    let mut env = env(platform, component);
    env.extend(own);
    env.extend(pods.env.iter().cloned());
    Container {
        name: names::CONTAINER.to_owned(),
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
        // A fatal error explains itself in the container's status; the log is for people.
        termination_message_path: Some(TERMINATION_MESSAGE.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts(platform, component)),
        ..Container::default()
    }
}

fn mounts(platform: &ValidatedPlatform, component: bool) -> Vec<VolumeMount> {
    let tmp = VolumeMount {
        name: "tmp".to_owned(),
        mount_path: "/tmp".to_owned(),
        ..VolumeMount::default()
    };
    let trusted = trusted(platform, component).map(|trusted| VolumeMount {
        name: trusted.volume.to_owned(),
        mount_path: trusted.folder(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    std::iter::once(tmp).chain(trusted).collect()
}

fn volumes(platform: &ValidatedPlatform, component: bool) -> Vec<Volume> {
    let tmp = Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("64Mi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let trusted = trusted(platform, component).map(|trusted| trusted.volume());
    std::iter::once(tmp).chain(trusted).collect()
}

/// A pod with one container, which may or may not belong to a `component`.
pub(super) fn spec(
    platform: &ValidatedPlatform,
    pods: &ValidatedPods,
    component: bool,
    container: Container,
) -> PodSpec {
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
        // Otherwise Kubernetes adds variables for every Service in the namespace, and pods would differ by their
        // neighbours.
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
        volumes: Some(volumes(platform, component)),
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

/// Other settings that decide whether a pod can start and reach its database, as text. Most platforms set none of them.
pub(super) fn access(platform: &ValidatedPlatform) -> Vec<String> {
    let pull = platform
        .image_pull_secrets
        .iter()
        .map(|name| format!("pull {name}"));
    let authorities = platform.database.authorities.iter();
    let authorities = authorities.map(|found| match found.holder {
        Holder::Secret => format!("ca {}/{}", found.name, found.key),
        Holder::ConfigMap => format!("ca of ConfigMap {}/{}", found.name, found.key),
    });
    let user = (platform.run_as == RunAs::Namespace).then(|| "user of the namespace".to_owned());
    pull.chain(authorities).chain(user).collect()
}

/// Metadata of a pod template: the operator's own `labels` and `annotations`, plus the user's.
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

/// Environment of every process: its own name and its connections, by reference.
fn env(platform: &ValidatedPlatform, component: bool) -> Vec<EnvVar> {
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
        // A variable instead of an argument: an older image ignores it.
        EnvVar {
            name: names::LAST_WORDS.to_owned(),
            value: Some(TERMINATION_MESSAGE.to_owned()),
            ..EnvVar::default()
        },
        secret("WALLEX_DATABASE_URL", &platform.database.url),
    ];
    if let Some(read) = &platform.database.read {
        env.push(secret("WALLEX_READ_DATABASE_URL", &read.url));
    }
    env.extend(trusted(platform, component).map(|trusted| EnvVar {
        name: trusted.variable.to_owned(),
        value: Some(format!("{}/{AUTHORITIES_FILE}", trusted.folder())),
        ..EnvVar::default()
    }));
    if component {
        let redis = platform.redis.as_ref();
        env.extend(redis.map(|redis| secret("WALLEX_REDIS_URL", &redis.url)));
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

/// The whole ConfigMap as variables.
pub(super) fn env_from(platform: &ValidatedPlatform) -> Vec<EnvFromSource> {
    vec![EnvFromSource {
        config_map_ref: Some(ConfigMapEnvSource {
            name: names::config_map(&platform.name),
            optional: None,
        }),
        ..EnvFromSource::default()
    }]
}

/// Hash of the values in Secrets and ConfigMaps that a component's pods use.
pub(super) fn secret_hash(platform: &ValidatedPlatform, pods: &ValidatedPods) -> String {
    let read = platform.database.read.as_ref().map(|read| &read.url);
    let redis = platform.redis.as_ref().map(|redis| &redis.url);
    let urls = std::iter::once(&platform.database.url).chain(redis).chain(read);
    let hashes = urls
        .chain(platform.kafka_access.secrets.iter().map(|(_, value)| value))
        .map(|value| &value.hash)
        .chain(trusted(platform, true).map(|trusted| &trusted.authorities.hash))
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
