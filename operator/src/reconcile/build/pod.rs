//! What all pods of a platform have in common: the container, its environment, its rights.
//!
//! Invariant: every pod meets the `restricted` pod security standard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapEnvSource, Container, EmptyDirVolumeSource, EnvFromSource, EnvVar, EnvVarSource,
    ObjectFieldSelector, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
    SecretKeySelector, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::names;
use crate::reconcile::validate::{SecretValue, ValidatedPlatform};

/// The only container's name.
pub(super) const CONTAINER: &str = "wallex";

/// User and group of the image.
const USER: i64 = 65532;

/// What a container asks for unless the spec says otherwise: little enough that a whole platform fits a small machine.
pub const DEFAULT_REQUESTS: [(&str, &str); 2] = [("cpu", "20m"), ("memory", "64Mi")];

/// Default resources: requests, no limits.
pub(super) fn default_resources() -> ResourceRequirements {
    let requests = DEFAULT_REQUESTS
        .map(|(name, value)| (name.to_owned(), Quantity(value.to_owned())))
        .into();
    ResourceRequirements {
        requests: Some(requests),
        ..ResourceRequirements::default()
    }
}

/// A container that runs `wallex` with these arguments.
pub(super) fn container(platform: &ValidatedPlatform, args: Vec<String>, env: Vec<EnvVar>) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(platform.image.clone()),
        image_pull_policy: platform.image_pull_policy.map(str::to_owned),
        args: Some(args),
        env: Some(env),
        resources: Some(default_resources()),
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
        volume_mounts: Some(vec![VolumeMount {
            name: "tmp".to_owned(),
            mount_path: "/tmp".to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// A pod around one container.
pub(super) fn spec(platform: &ValidatedPlatform, container: Container) -> PodSpec {
    PodSpec {
        service_account_name: Some(platform.name.clone()),
        automount_service_account_token: Some(false),
        // Otherwise Kubernetes adds a variable per Service of the namespace, and pods would differ by their neighbours.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        volumes: Some(vec![Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity("64Mi".to_owned())),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        containers: vec![container],
        ..PodSpec::default()
    }
}

/// Environment of every process: its own name and the databases, by reference.
pub(super) fn env(platform: &ValidatedPlatform, redis: bool) -> Vec<EnvVar> {
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
    if let Some(url) = platform.redis.as_ref().filter(|_| redis) {
        env.push(secret("WALLEX_REDIS_URL", url));
    }
    env
}

/// Settings as plain variables, for pods that must not depend on the ConfigMap.
pub(super) fn plain(settings: BTreeMap<String, String>) -> impl Iterator<Item = EnvVar> {
    settings.into_iter().map(|(name, value)| EnvVar {
        name,
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

/// Hash of the Secret values that a process with [`env`] uses.
pub(super) fn secret_hash(platform: &ValidatedPlatform) -> String {
    let hashes = std::iter::once(&platform.database.url).chain(platform.redis.as_ref());
    names::short_hash(hashes.map(|value| value.hash.as_bytes()), 16)
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
