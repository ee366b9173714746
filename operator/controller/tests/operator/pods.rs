//! How the fields of the spec affect manifests: pods, suspension, databases, network, monitoring.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec, SecretKeySelector};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use wallex_crd::names::{self, OWNED_VARIABLES};
use wallex_crd::{Component, JournalStatus, SecretKeyRef, WalletPlatform, WalletPlatformStatus};
use wallex_operator::reconcile::build::Manifests;
use wallex_operator::reconcile::validate;

use crate::fixture::{CLUSTER, built, changed, full, full_world, platform, secret, template, values, world};

fn pod(manifests: &Manifests, component: Component) -> &PodSpec {
    template(manifests, component).spec.as_ref().unwrap()
}

fn job_template(manifests: &Manifests) -> &PodTemplateSpec {
    &manifests.migration.spec.as_ref().unwrap().template
}

fn variable(container: &Container, name: &str) -> Option<EnvVar> {
    container
        .env
        .iter()
        .flatten()
        .find(|variable| variable.name == name)
        .cloned()
}

fn selectors(manifests: &Manifests) -> Vec<String> {
    manifests
        .deployments
        .iter()
        .map(|(_, deployment)| serde_json::to_string(&deployment.spec.selector).unwrap())
        .collect()
}

/// Components whose pod template differs between two worlds or platforms.
fn rolled(before: &Manifests, after: &Manifests) -> Vec<Component> {
    Component::ROLLOUT
        .into_iter()
        .filter(|component| template(before, *component) != template(after, *component))
        .collect()
}

#[test]
fn a_platform_that_says_everything_is_built_as_reviewed() {
    let manifests = built(&full(), &full_world());
    fn text(value: &impl serde::Serialize) -> String {
        serde_yaml_ng::to_string(value).unwrap()
    }
    let documents = [
        text(&template(&manifests, Component::Command)),
        text(&manifests.migration),
        text(&manifests.maintain),
        text(&manifests.network_policy),
        text(&manifests.service_monitor),
        text(&manifests.config_map.data),
        text(&manifests.dashboards.as_ref().unwrap().metadata),
    ];
    insta::assert_snapshot!("full-manifests", documents.join("---\n"));
}

/// A field added to the spec must be added to the full platform too, so that its effect on the manifests is tested.
#[test]
fn the_full_platform_says_every_field() {
    fn missing(path: &str, schema: &Value, object: &Value, found: &mut Vec<String>) {
        // Only one of the two is set.
        let authorities = ["caSecretRef", "caConfigMapRef"];
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if object[name].is_null() && authorities.contains(&name.as_str()) {
                if authorities.iter().all(|field| object[field].is_null()) {
                    found.push(path);
                }
            } else if object[name].is_null() {
                found.push(path);
            } else if !["affinity", "topologySpreadConstraints", "tolerations", "extraEnv"]
                .contains(&name.as_str())
            {
                missing(&path, property, &object[name], found);
            }
        }
    }
    let crd: Value = serde_yaml_ng::from_str(&wallex_crd::crd_yaml().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let object: Value =
        serde_yaml_ng::from_str(include_str!("../../../crd/examples/full-platform.yaml")).unwrap();
    let mut found = Vec::new();
    missing("spec", schema, &object["spec"], &mut found);
    // Pod settings are the same for all components; the command stands for all.
    let others = [
        "publisher",
        "query",
        "projectors.ledger",
        "projectors.readModel",
        "jobs",
    ];
    found.retain(|path| {
        !others
            .iter()
            .any(|other| path.starts_with(&format!("spec.{other}.")))
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn pod_labels_reach_the_pods_and_never_the_selector() {
    let labelled = changed(|platform| {
        let labels = &mut platform.spec.query.component.pods.pod_labels;
        labels.insert("team".to_owned(), "payments".to_owned());
    });
    let (before, after) = (built(&platform(), &world()), built(&labelled, &world()));
    assert_eq!(rolled(&before, &after), [Component::Query]);
    assert_eq!(selectors(&before), selectors(&after));
    let labels = template(&after, Component::Query)
        .metadata
        .clone()
        .unwrap()
        .labels
        .unwrap();
    assert_eq!(labels["team"], "payments");
    for (key, value) in template(&before, Component::Query)
        .metadata
        .clone()
        .unwrap()
        .labels
        .unwrap()
    {
        assert_eq!(labels[&key], value, "{key}");
    }
}

#[test]
fn a_spread_of_the_users_replaces_the_default_and_counts_this_components_pods() {
    let manifests = built(&full(), &full_world());
    let command = pod(&manifests, Component::Command)
        .topology_spread_constraints
        .clone()
        .unwrap();
    assert_eq!(command.len(), 1);
    let selector = command[0].label_selector.clone().unwrap().match_labels.unwrap();
    assert_eq!(selector["app.kubernetes.io/component"], "command");
    assert_eq!(
        pod(&manifests, Component::Publisher).topology_spread_constraints,
        None
    );
    assert!(
        pod(&manifests, Component::Query)
            .topology_spread_constraints
            .is_some()
    );
}

#[test]
fn every_variable_that_the_operator_sets_is_one_that_users_may_not() {
    let mut written = full();
    written.status = Some(WalletPlatformStatus {
        journal: Some(JournalStatus {
            id: Some("1700000000000001".to_owned()),
            events: 7,
            ..JournalStatus::default()
        }),
        ..WalletPlatformStatus::default()
    });
    let manifests = built(&written, &full_world());
    let extra = [
        "WALLEX_WRITERS",
        "WALLEX_POLL_INTERVAL_MS",
        "EMPTY",
        "REGION",
        "RUST_BACKTRACE",
        // The user's, unless the fields that set them are used.
        names::DATABASE_AUTHORITIES,
        names::REDIS_AUTHORITIES,
        names::MAX_OPEN_HOLDS,
        // May be emptied, which switches it off.
        names::INTERNAL_LISTEN,
    ];
    let mut set: BTreeSet<String> = manifests.config_map.data.clone().unwrap().into_keys().collect();
    let mut templates = vec![job_template(&manifests)];
    templates.extend(
        manifests
            .deployments
            .iter()
            .map(|(_, deployment)| &deployment.spec.template),
    );
    for template in templates {
        let containers = &template.spec.as_ref().unwrap().containers;
        set.extend(
            containers[0]
                .env
                .iter()
                .flatten()
                .map(|variable| variable.name.clone()),
        );
    }
    set.retain(|name| !extra.contains(&name.as_str()));
    assert_eq!(set, OWNED_VARIABLES.map(str::to_owned).into());
}

#[test]
fn the_bound_of_open_holds_reaches_every_role_and_is_not_said_twice() {
    let mut bounded = changed(|platform| platform.spec.max_open_holds = Some(500));
    let settings = |platform| built(platform, &world()).config_map.data.unwrap();
    assert_eq!(settings(&bounded)[names::MAX_OPEN_HOLDS], "500");
    assert!(!settings(&platform()).contains_key(names::MAX_OPEN_HOLDS));
    let (before, after) = (built(&platform(), &world()), built(&bounded, &world()));
    assert_eq!(rolled(&before, &after), Component::ROLLOUT);

    let said = json!([{"name": names::MAX_OPEN_HOLDS, "value": "7"}]);
    bounded.spec.command.component.pods.extra_env = serde_json::from_value(said).unwrap();
    let problem = validate::platform(&bounded, &world(), CLUSTER).unwrap_err();
    assert!(
        problem.message.contains("spec.maxOpenHolds"),
        "{}",
        problem.message
    );
    bounded.spec.max_open_holds = None;
    built(&bounded, &world());
}

#[test]
fn a_setting_of_the_command_rolls_the_command_alone() {
    let larger = changed(|platform| platform.spec.command.max_batch = Some(100));
    let (before, after) = (built(&platform(), &world()), built(&larger, &world()));
    assert_eq!(rolled(&before, &after), [Component::Command]);
    let container = &pod(&after, Component::Command).containers[0];
    assert_eq!(
        variable(container, "WALLEX_MAX_BATCH").unwrap().value.as_deref(),
        Some("100")
    );
}

#[test]
fn a_secret_named_in_extra_environment_rolls_the_pods_that_use_it() {
    let with_env = changed(|platform| {
        platform.spec.query.component.pods.extra_env = vec![EnvVar {
            name: "TOKEN".to_owned(),
            value_from: Some(k8s_openapi::api::core::v1::EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: "demo-extra".to_owned(),
                    key: "url".to_owned(),
                    optional: None,
                }),
                ..Default::default()
            }),
            ..EnvVar::default()
        }];
    });
    let (mut before, mut after) = (world(), world());
    secret(&mut before, "demo-extra", "one");
    secret(&mut after, "demo-extra", "two");
    assert_eq!(
        rolled(&built(&with_env, &before), &built(&with_env, &after)),
        [Component::Query]
    );
}

#[test]
fn a_read_database_reaches_all_pods_and_its_rotation_rolls_them() {
    let split = |platform: &mut WalletPlatform| {
        platform.spec.database.read_secret_ref = Some(SecretKeyRef {
            name: "demo-read-database".to_owned(),
            key: "url".to_owned(),
        });
    };
    let (mut before, mut after, mut moved) = (world(), world(), world());
    secret(&mut before, "demo-read-database", "postgres://u:old@read/wallex");
    secret(&mut after, "demo-read-database", "postgres://u:new@read/wallex");
    secret(
        &mut moved,
        "demo-read-database",
        "postgres://u:new@elsewhere/wallex",
    );
    let (before, after) = (built(&changed(split), &before), built(&changed(split), &after));
    assert_eq!(rolled(&before, &after), Component::ROLLOUT);
    for component in Component::ROLLOUT {
        let container = &pod(&before, component).containers[0];
        assert!(variable(container, "WALLEX_READ_DATABASE_URL").is_some());
    }
    let migration = &job_template(&before).spec.as_ref().unwrap().containers[0];
    assert!(variable(migration, "WALLEX_READ_DATABASE_URL").is_some());
    // A new password needs no migration; another database does.
    assert_eq!(before.migration.name_any(), after.migration.name_any());
    let moved = built(&changed(split), &moved);
    assert_ne!(after.migration.name_any(), moved.migration.name_any());
}

#[test]
fn a_rotated_password_of_kafka_rolls_the_components_and_migrates_nothing() {
    let (before, mut after) = (full_world(), full_world());
    values(&mut after, "kafka-user", &[("user", "wallex"), ("pass", "n3w")]);
    let (before, after) = (built(&full(), &before), built(&full(), &after));
    assert_eq!(rolled(&before, &after), Component::ROLLOUT);
    assert_eq!(before.migration, after.migration);
    assert!(!format!("{before:?}").contains("hunter2"));
}

#[test]
fn suspended_means_no_pods_and_the_same_pod_templates() {
    let suspended = changed(|platform| platform.spec.suspended = true);
    let (before, after) = (built(&platform(), &world()), built(&suspended, &world()));
    assert_eq!(rolled(&before, &after), []);
    for (component, deployment) in &after.deployments {
        assert_eq!(deployment.spec.replicas, Some(0), "{component:?}");
    }
    assert_eq!(after.maintain.spec.suspend, Some(true));
    assert_eq!(before.maintain.spec.suspend, None);
    assert_eq!(before.migration, after.migration);
}

#[test]
fn limits_of_the_migration_are_no_reason_to_migrate_and_settings_of_its_pods_are() {
    let limited = changed(|platform| platform.spec.database.migration.backoff_limit = 0);
    let tolerant = changed(|platform| {
        platform.spec.jobs.tolerations = serde_json::from_value(json!([{"operator": "Exists"}])).unwrap();
    });
    let name = |platform: &WalletPlatform| built(platform, &world()).migration.name_any();
    assert_eq!(name(&platform()), name(&limited));
    assert_ne!(name(&platform()), name(&tolerant));
}

#[test]
fn a_network_policy_names_the_ports_of_all_addresses() {
    assert_eq!(built(&platform(), &world()).network_policy, None);
    let policy = built(&full(), &full_world()).network_policy.unwrap();
    let spec = serde_json::to_value(policy.spec).unwrap();
    let ports: Vec<i64> = spec["egress"][0]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["port"].as_i64().unwrap())
        .collect();
    assert_eq!(ports, [53, 53, 4318, 5432, 6379, 6432, 9093, 19092]);
    assert_eq!(spec["ingress"][0]["ports"][0]["port"], 8080);
}

#[test]
fn each_platform_has_a_dashboard_of_its_own_that_opens_on_it() {
    let dashboard = |name: &str| -> Value {
        let platform = changed(|platform| {
            platform.metadata.name = Some(name.to_owned());
            platform.spec.monitoring.dashboards.enabled = true;
        });
        let data = built(&platform, &world()).dashboards.unwrap().data.unwrap();
        let file = format!("wallex-wallex-{name}.json");
        serde_json::from_str(&data[&file]).unwrap()
    };
    let (one, other) = (dashboard("demo"), dashboard("shop"));
    assert_ne!(one["uid"], other["uid"]);
    assert_ne!(one["title"], other["title"]);
    assert!(one["panels"].as_array().unwrap().len() > 5);
    assert_eq!(one["panels"], other["panels"]);
    let opens_on = |variable: &str| {
        let variables = one["templating"]["list"].as_array().unwrap();
        let found = variables.iter().find(|found| found["name"] == variable).unwrap();
        found["current"]["value"].clone()
    };
    assert_eq!(
        (opens_on("namespace"), opens_on("platform")),
        (json!("wallex"), json!("demo"))
    );
}
