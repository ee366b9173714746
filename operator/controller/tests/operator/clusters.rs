//! What clusters require of pods: pull secrets, private CAs, the namespace's user ids, and Secrets created by other operators.

use k8s_openapi::api::core::v1::{EnvVar, PodSpec};
use serde_json::{Value, json};
use wallex_crd::{Component, WalletPlatform};
use wallex_operator::reconcile::build::Manifests;
use wallex_operator::reconcile::conditions::Reason;
use wallex_operator::reconcile::dereference::Dereferenced;
use wallex_operator::reconcile::validate;

use crate::fixture::{CLUSTER, built, changed, config_map, platform, template, validated, values, world};

/// [`platform`] with these fields of the spec.
#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better in place")]
fn with(fields: Value) -> WalletPlatform {
    let mut spec = serde_json::to_value(platform().spec).unwrap();
    json_merge(&mut spec, &fields);
    changed(|platform| platform.spec = serde_json::from_value(spec).unwrap())
}

fn json_merge(into: &mut Value, fields: &Value) {
    match fields {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| json_merge(&mut into[key], value)),
        other => *into = other.clone(),
    }
}

/// Every pod of a platform: components, migration and maintenance.
fn pods(manifests: &Manifests) -> Vec<PodSpec> {
    let maintain = manifests.maintain.spec.job_template.spec.as_ref().unwrap();
    Component::ROLLOUT
        .into_iter()
        .map(|component| template(manifests, component))
        .chain([
            &manifests.migration.spec.as_ref().unwrap().template,
            &maintain.template,
        ])
        .map(|template| template.spec.clone().unwrap())
        .collect()
}

fn job(manifests: &Manifests) -> String {
    manifests.migration.metadata.name.clone().unwrap()
}

#[test]
fn every_pod_pulls_with_the_secrets_that_are_named_and_a_job_that_could_not_pull_makes_way() {
    let manifests = built(
        &with(json!({"imagePullSecrets": [{"name": "a"}, {"name": "b"}]})),
        &world(),
    );
    for pod in pods(&manifests) {
        let names: Vec<String> = pod
            .image_pull_secrets
            .unwrap()
            .into_iter()
            .map(|secret| secret.name)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
    let plain = built(&platform(), &world());
    assert!(pods(&plain).iter().all(|pod| pod.image_pull_secrets.is_none()));
    assert_ne!(job(&manifests), job(&plain));
}

const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// The trusting connection, its field, the variable that names the file, and whether the jobs need it too.
const TRUSTED: [(&str, &str, &str, bool); 3] = [
    ("database", "/database", "PGSSLROOTCERT", true),
    ("kafka", "/kafka/tls", "WALLEX_KAFKA_CA", false),
    ("redis", "/redis", "WALLEX_REDIS_CA", false),
];

/// A platform whose `field` names `reference` by the name `ca`.
fn trusting(field: &str, reference: &str) -> WalletPlatform {
    let mut fields = json!({"redis": {"secretRef": {"name": "demo-redis"}}});
    let mut at = &mut fields;
    for part in field.split('/').skip(1) {
        at = &mut at[part];
    }
    at[reference] = json!({"name": "ca", "key": "bundle.crt"});
    with(fields)
}

/// Puts the certificates where the reference points.
fn put(world: &mut Dereferenced, reference: &str, value: &str) {
    match reference {
        "caSecretRef" => values(world, "ca", &[("bundle.crt", value)]),
        _ => config_map(world, "ca", &[("bundle.crt", value)]),
    }
}

/// The name of a volume's Secret or ConfigMap, and the file for its key.
fn mounted(pod: &PodSpec, volume: &str) -> Option<(String, String, String)> {
    let volumes = pod.volumes.as_ref()?;
    let volume = volumes.iter().find(|found| found.name == volume)?;
    let (kind, name, items) = match (&volume.secret, &volume.config_map) {
        (Some(secret), None) => ("Secret", secret.secret_name.clone()?, secret.items.as_ref()?),
        (None, Some(map)) => ("ConfigMap", map.name.clone(), map.items.as_ref()?),
        other => panic!("{other:?}"),
    };
    let item = &items[0];
    Some((kind.to_owned(), name, format!("{} as {}", item.key, item.path)))
}

fn variable(pod: &PodSpec, name: &str) -> Option<EnvVar> {
    let said = pod.containers[0].env.iter().flatten();
    said.clone().find(|said| said.name == name).cloned()
}

/// A variable holds at most 128 KiB; the public CAs, which trust bundles begin with, are larger.
#[test]
fn authorities_are_a_file_in_every_pod_that_needs_them_whatever_holds_them() {
    for (of, field, name, jobs_too) in TRUSTED {
        for (reference, kind) in [("caSecretRef", "Secret"), ("caConfigMapRef", "ConfigMap")] {
            let mut world = world();
            put(&mut world, reference, &PEM.repeat(6_000));
            let manifests = built(&trusting(field, reference), &world);
            for (n, pod) in pods(&manifests).iter().enumerate() {
                let is_job = n >= Component::ROLLOUT.len();
                let volume = format!("{of}-ca");
                if is_job && !jobs_too {
                    assert_eq!(mounted(pod, &volume), None, "{of} {reference}");
                    assert_eq!(variable(pod, name), None, "{of} {reference}");
                    continue;
                }
                let expected = (
                    kind.to_owned(),
                    "ca".to_owned(),
                    "bundle.crt as ca.crt".to_owned(),
                );
                assert_eq!(mounted(pod, &volume), Some(expected), "{of} {reference}");
                let mounts = pod.containers[0].volume_mounts.iter().flatten();
                let mount = mounts.clone().find(|mount| mount.name == volume).unwrap();
                let said = variable(pod, name).unwrap().value;
                assert_eq!(
                    said,
                    Some(format!("{}/ca.crt", mount.mount_path)),
                    "{of} {reference}"
                );
            }
        }
    }
}

#[test]
fn a_change_of_authorities_replaces_the_pods_and_migrates_nothing() {
    for (of, field, ..) in TRUSTED {
        for reference in ["caSecretRef", "caConfigMapRef"] {
            let platform = trusting(field, reference);
            let mut world = world();
            put(&mut world, reference, PEM);
            let before = built(&platform, &world);
            put(&mut world, reference, &format!("{PEM}2"));
            let after = built(&platform, &world);
            for component in Component::ROLLOUT {
                assert_ne!(
                    template(&before, component).metadata,
                    template(&after, component).metadata,
                    "{of} {reference}"
                );
            }
            assert_eq!(job(&before), job(&after), "{of} {reference}");
            let kafka = |manifests: &Manifests| manifests.config_map.metadata.annotations.clone();
            assert_eq!(kafka(&before) != kafka(&after), of == "kafka", "{of} {reference}");
        }
    }
}

/// Earlier images take certificates but do not support a file. Their pods stay as they are.
#[test]
fn the_brokers_authorities_of_a_secret_are_a_variable_while_they_fit() {
    let platform = trusting("/kafka/tls", "caSecretRef");
    let mut world = world();
    put(&mut world, "caSecretRef", PEM);
    let manifests = built(&platform, &world);
    for component in Component::ROLLOUT {
        let pod = template(&manifests, component).spec.clone().unwrap();
        let said = variable(&pod, "WALLEX_KAFKA_CA").unwrap().value_from.unwrap();
        let reference = said.secret_key_ref.unwrap();
        assert_eq!(
            (reference.name.as_str(), reference.key.as_str()),
            ("ca", "bundle.crt")
        );
        assert_eq!(mounted(&pod, "kafka-ca"), None);
    }
}

/// The operator itself connects to the brokers.
#[test]
fn the_operator_trusts_the_brokers_by_the_same_certificates() {
    for reference in ["caSecretRef", "caConfigMapRef"] {
        let mut world = world();
        put(&mut world, reference, PEM);
        let found = validated(&trusting("/kafka/tls", reference), &world);
        assert_eq!(found.kafka.security["ssl.ca.pem"], PEM, "{reference}");
    }
}

#[test]
fn authorities_that_are_none_and_a_variable_that_says_them_too_are_refused() {
    let problem = |platform: &WalletPlatform, world: &Dereferenced| {
        let problem = validate::platform(platform, world, CLUSTER).unwrap_err();
        (problem.reason, problem.message)
    };
    for (of, field, name, _) in TRUSTED {
        for (reference, kind, [missing, keyless, invalid]) in [
            (
                "caSecretRef",
                "Secret",
                [
                    Reason::SecretNotFound,
                    Reason::SecretKeyMissing,
                    Reason::SecretInvalid,
                ],
            ),
            (
                "caConfigMapRef",
                "ConfigMap",
                [
                    Reason::ConfigMapNotFound,
                    Reason::ConfigMapKeyMissing,
                    Reason::ConfigMapInvalid,
                ],
            ),
        ] {
            let platform = trusting(field, reference);
            let mut world = world();
            let (reason, message) = problem(&platform, &world);
            assert_eq!(reason, missing, "{of} {reference}");
            assert_eq!(message, format!("{kind} wallex/ca does not exist"));
            match reference {
                "caSecretRef" => values(&mut world, "ca", &[("tls.crt", "x")]),
                _ => config_map(&mut world, "ca", &[("tls.crt", "x")]),
            }
            let (reason, message) = problem(&platform, &world);
            assert_eq!(reason, keyless, "{of} {reference}");
            assert_eq!(message, format!("{kind} wallex/ca has no key \"bundle.crt\""));
            put(&mut world, reference, "hunter2");
            let (reason, message) = problem(&platform, &world);
            assert_eq!(reason, invalid, "{of} {reference}");
            assert!(
                message.contains("PEM") && !message.contains("hunter2"),
                "{message}"
            );

            put(&mut world, reference, PEM);
            let mut twice = platform;
            twice.spec.query.component.pods.extra_env =
                serde_json::from_value(json!([{"name": name, "value": "/x"}])).unwrap();
            let (reason, message) = problem(&twice, &world);
            assert_eq!(reason, Reason::InvalidSpec);
            assert!(message.contains(name), "{message}");
        }
    }
}

/// Platforms that set the CA through their own variable keep working.
#[test]
fn a_variable_for_authorities_is_taken_where_no_field_says_them() {
    let mut platform = platform();
    platform.spec.jobs.extra_env = serde_json::from_value(json!([
        {"name": "PGSSLROOTCERT", "value": "/x"}, {"name": "WALLEX_REDIS_CA", "value": "/y"},
    ]))
    .unwrap();
    validated(&platform, &world());
}

#[test]
fn where_the_namespace_says_the_user_pods_name_none_and_are_never_root() {
    for (run_as, user) in [("Image", Some(65532)), ("Namespace", None)] {
        for pod in pods(&built(&with(json!({"runAs": run_as})), &world())) {
            let context = pod.security_context.unwrap();
            assert_eq!(
                (context.run_as_user, context.run_as_group, context.fs_group),
                (user, user, user)
            );
            assert_eq!(context.run_as_non_root, Some(true));
        }
    }
}

fn scram(secret: &[(&str, &str)], reference: &Value) -> (WalletPlatform, Dereferenced) {
    let mut world = world();
    values(&mut world, "wallex-user", secret);
    let mut fields = json!({"kafka": {"sasl": {"secretRef": {"name": "wallex-user"}}}});
    json_merge(&mut fields["kafka"]["sasl"]["secretRef"], reference);
    (with(fields), world)
}

#[test]
fn a_user_of_strimzis_with_a_password_has_its_secrets_name() {
    let secret = [("password", "hunter2"), ("sasl.jaas.config", "…")];
    let (platform, world) = scram(&secret, &json!({}));
    let found = validated(&platform, &world);
    assert_eq!(found.kafka.security["sasl.username"], "wallex-user");
    assert_eq!(found.kafka.security["sasl.password"], "hunter2");
    assert_eq!(
        found.kafka_access.settings["WALLEX_KAFKA_SASL_USERNAME"],
        "wallex-user"
    );
    let secrets: Vec<&str> = found
        .kafka_access
        .secrets
        .iter()
        .map(|(variable, _)| *variable)
        .collect();
    assert_eq!(secrets, ["WALLEX_KAFKA_SASL_PASSWORD"]);
    let settings = built(&platform, &world).config_map.data.unwrap();
    assert_eq!(settings["WALLEX_KAFKA_SASL_USERNAME"], "wallex-user");
}

#[test]
fn a_secret_with_a_name_of_its_own_goes_before_and_a_key_that_is_asked_for_must_be_there() {
    let (platform, world) = scram(&[("username", "u"), ("password", "p")], &json!({}));
    assert_eq!(validated(&platform, &world).kafka.security["sasl.username"], "u");
    for (secret, reference) in [
        (&[("password", "p")][..], json!({"usernameKey": "user"})),
        (&[("other", "p")][..], json!({})),
    ] {
        let (platform, world) = scram(secret, &reference);
        let problem = validate::platform(&platform, &world, CLUSTER).unwrap_err();
        assert_eq!(problem.reason, Reason::SecretKeyMissing, "{reference}");
    }
}

#[test]
fn certificates_are_taken_in_kubernetes_form_and_in_strimzis() {
    let platform = with(json!({"kafka": {"tls": {"certificateSecretRef": {"name": "client"}}}}));
    let pair = |certificate: &'static str, key: &'static str| [(certificate, "C"), (key, "K")];
    for (secret, keys) in [
        (pair("tls.crt", "tls.key").to_vec(), ["tls.crt", "tls.key"]),
        (pair("user.crt", "user.key").to_vec(), ["user.crt", "user.key"]),
        (
            [pair("user.crt", "user.key"), pair("tls.crt", "tls.key")].concat(),
            ["tls.crt", "tls.key"],
        ),
    ] {
        let mut world = world();
        values(&mut world, "client", &secret);
        let found = validated(&platform, &world);
        let used: Vec<&str> = found
            .kafka_access
            .secrets
            .iter()
            .map(|(_, value)| value.key.as_str())
            .collect();
        assert_eq!(used, keys);
        assert_eq!(found.kafka.security["ssl.key.pem"], "K");
    }
}
