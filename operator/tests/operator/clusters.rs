//! What clusters ask of pods: pull secrets, authorities of one's own, users of the namespace, and Secrets as other operators make them.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};
use wallex_operator::crd::WalletPlatform;
use wallex_operator::names::Component;
use wallex_operator::reconcile::build::Manifests;
use wallex_operator::reconcile::conditions::reasons;
use wallex_operator::reconcile::dereference::Dereferenced;
use wallex_operator::reconcile::validate;

use crate::fixture::{CLUSTER, built, changed, platform, template, validated, values, world};

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

/// Every pod that a platform has: of its components, of the migration and of the maintenance.
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

#[test]
fn every_pod_trusts_the_databases_authorities_and_is_replaced_when_they_change() {
    let platform = with(json!({"database": {"caSecretRef": {"name": "ca"}}}));
    let pem = "-----BEGIN CERTIFICATE-----";
    let mut world = world();
    values(&mut world, "ca", &[("ca.crt", pem)]);
    let manifests = built(&platform, &world);
    for pod in pods(&manifests) {
        let volume = pod
            .volumes
            .unwrap()
            .into_iter()
            .find(|volume| volume.name == "database-ca")
            .unwrap();
        let secret = volume.secret.unwrap();
        assert_eq!(secret.secret_name.as_deref(), Some("ca"));
        let items = secret.items.unwrap();
        assert_eq!(
            (items[0].key.as_str(), items[0].path.as_str()),
            ("ca.crt", "ca.crt")
        );
        let container = &pod.containers[0];
        let mount = container
            .volume_mounts
            .iter()
            .flatten()
            .find(|mount| mount.name == "database-ca")
            .unwrap();
        let said = container
            .env
            .iter()
            .flatten()
            .find(|said| said.name == "PGSSLROOTCERT")
            .unwrap();
        assert_eq!(said.value, Some(format!("{}/ca.crt", mount.mount_path)));
    }
    values(&mut world, "ca", &[("ca.crt", &format!("{pem}2"))]);
    let rotated = built(&platform, &world);
    for component in Component::ROLLOUT {
        assert_ne!(
            template(&manifests, component).metadata,
            template(&rotated, component).metadata
        );
    }
    assert_eq!(job(&manifests), job(&rotated), "nothing is migrated for it");
}

#[test]
fn authorities_that_are_none_and_a_variable_that_says_them_too_are_refused() {
    let problem = |platform: &WalletPlatform, world: &Dereferenced| {
        let problem = validate::run(platform, world, CLUSTER).unwrap_err();
        (problem.reason, problem.message)
    };
    let platform = with(json!({"database": {"caSecretRef": {"name": "ca"}}}));
    let mut world = world();
    assert_eq!(problem(&platform, &world).0, reasons::SECRET_NOT_FOUND);
    values(&mut world, "ca", &[("tls.crt", "x")]);
    assert_eq!(problem(&platform, &world).0, reasons::SECRET_KEY_MISSING);
    values(&mut world, "ca", &[("ca.crt", "hunter2")]);
    let (reason, message) = problem(&platform, &world);
    assert_eq!(reason, reasons::SECRET_INVALID);
    assert!(
        message.contains("PEM") && !message.contains("hunter2"),
        "{message}"
    );

    values(&mut world, "ca", &[("ca.crt", "-----BEGIN CERTIFICATE-----")]);
    let mut twice = platform;
    twice.spec.jobs.extra_env =
        serde_json::from_value(json!([{"name": "PGSSLROOTCERT", "value": "/x"}])).unwrap();
    let (reason, message) = problem(&twice, &world);
    assert_eq!(reason, reasons::INVALID_SPEC);
    assert!(
        message.contains("PGSSLROOTCERT") && message.contains("database.caSecretRef"),
        "{message}"
    );
    twice.spec.database.ca_secret_ref = None;
    validated(&twice, &world);
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
        let problem = validate::run(&platform, &world, CLUSTER).unwrap_err();
        assert_eq!(problem.reason, reasons::SECRET_KEY_MISSING, "{reference}");
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
