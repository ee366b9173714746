//! The built manifests: whole manifests as goldens, and the properties that rollouts rely on.

use kube::ResourceExt as _;
use serde::Serialize;
use wallex_crd::names::{self, MANIFEST_HASH};
use wallex_crd::{Component, CurrencySpec, RedisSpec, SecretKeyRef, WalletPlatform};
use wallex_operator::reconcile::build::Manifests;
use wallex_operator::reconcile::dereference::Dereferenced;
use wallex_operator::reconcile::stages::child;

use crate::fixture::{built, changed, platform, secret, template, world};

fn yaml(documents: &[&dyn erased::ToYaml]) -> String {
    documents
        .iter()
        .map(|document| document.to_yaml())
        .collect::<Vec<_>>()
        .join("---\n")
}

/// `dyn Serialize`, as far as needed here.
mod erased {
    use serde::Serialize;

    pub(super) trait ToYaml {
        fn to_yaml(&self) -> String;
    }

    impl<T: Serialize> ToYaml for T {
        fn to_yaml(&self) -> String {
            serde_yaml_ng::to_string(self).unwrap()
        }
    }
}

fn with_redis() -> WalletPlatform {
    let secret_ref = SecretKeyRef {
        name: "demo-redis".to_owned(),
        key: "url".to_owned(),
    };
    changed(|platform| {
        platform.spec.redis = Some(RedisSpec {
            secret_ref,
            ca_secret_ref: None,
            ca_config_map_ref: None,
        });
    })
}

fn templates(manifests: &Manifests) -> Vec<String> {
    fn text(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }
    Component::ROLLOUT
        .map(|component| text(template(manifests, component)))
        .into()
}

/// A change in this file means that an operator upgrade restarts pods: that must be intentional.
#[test]
fn deployments_are_as_reviewed() {
    let manifests = built(&with_redis(), &world());
    let documents: Vec<&dyn erased::ToYaml> = manifests
        .deployments
        .iter()
        .map(|(_, deployment)| deployment as &dyn erased::ToYaml)
        .collect();
    insta::assert_snapshot!("deployments", yaml(&documents));
}

#[test]
fn everything_else_is_as_reviewed() {
    let manifests = built(&with_redis(), &world());
    let mut documents: Vec<&dyn erased::ToYaml> = vec![
        &manifests.service_account,
        &manifests.migration,
        &manifests.config_map,
        &manifests.maintain,
    ];
    documents.extend(
        manifests
            .services
            .iter()
            .map(|service| service as &dyn erased::ToYaml),
    );
    documents.extend(
        manifests
            .budgets
            .iter()
            .map(|budget| budget as &dyn erased::ToYaml),
    );
    insta::assert_snapshot!("others", yaml(&documents));
}

#[test]
fn currencies_reach_the_services_as_their_setting_and_roll_the_pods() {
    let currency = |code: &str, exponent| CurrencySpec {
        code: code.to_owned(),
        exponent,
    };
    let with =
        changed(|platform| platform.spec.currencies = vec![currency("POINTS", 0), currency("GOLD", 3)]);
    let manifests = built(&with, &world());
    let data = manifests.config_map.data.as_ref().unwrap();
    assert_eq!(data["WALLEX_CURRENCIES"], "POINTS:0,GOLD:3");
    let without = built(&platform(), &world());
    assert!(
        !without
            .config_map
            .data
            .as_ref()
            .unwrap()
            .contains_key("WALLEX_CURRENCIES")
    );
    assert_ne!(templates(&manifests), templates(&without));
    // The services parse what the spec says.
    let read = wallex_domain::Currencies::with_own(&data["WALLEX_CURRENCIES"]).unwrap();
    assert_eq!(read.own().count(), 2);
}

#[test]
fn pod_templates_do_not_depend_on_replica_counts() {
    let scaled = changed(|platform| {
        platform.spec.command.component.replicas = 7;
        platform.spec.projectors.ledger.component.replicas = 0;
    });
    assert_eq!(
        templates(&built(&platform(), &world())),
        templates(&built(&scaled, &world()))
    );
}

#[test]
fn no_manifest_depends_on_the_generation_or_the_status() {
    let later = changed(|platform| {
        platform.metadata.generation = Some(99);
        platform.status = Some(wallex_crd::WalletPlatformStatus::default());
    });
    assert_eq!(built(&platform(), &world()), built(&later, &world()));
}

#[test]
fn a_rotated_secret_rolls_the_pods_and_migrates_nothing() {
    let (before, mut rotated) = (world(), world());
    secret(
        &mut rotated,
        "demo-database",
        "postgres://wallex:n3w@10.89.0.1:5432/demo",
    );
    let (old, new) = (built(&platform(), &before), built(&platform(), &rotated));
    for component in Component::ROLLOUT {
        assert_ne!(template(&old, component), template(&new, component));
    }
    assert_eq!(old.migration.name_any(), new.migration.name_any());
    assert_eq!(old.config_map, new.config_map);
}

#[test]
fn a_secret_that_is_not_used_rolls_nothing() {
    let (before, mut rotated) = (world(), world());
    secret(&mut rotated, "demo-redis", "redis://elsewhere:6379");
    assert_eq!(
        templates(&built(&platform(), &before)),
        templates(&built(&platform(), &rotated))
    );
    assert_ne!(
        templates(&built(&with_redis(), &before)),
        templates(&built(&with_redis(), &rotated))
    );
}

#[test]
fn a_changed_setting_rolls_the_pods() {
    let moved = changed(|platform| platform.spec.kafka.bootstrap_servers = "elsewhere:9092".to_owned());
    assert_ne!(
        templates(&built(&platform(), &world())),
        templates(&built(&moved, &world()))
    );
}

#[test]
fn another_image_partition_count_or_database_is_another_migration() {
    let name = |platform: &WalletPlatform, world: &Dereferenced| built(platform, world).migration.name_any();
    let original = name(&platform(), &world());
    let image = changed(|platform| platform.spec.image = "localhost/wallex:next".to_owned());
    let partitions = changed(|platform| platform.spec.partitions = 12);
    let mut moved = world();
    secret(
        &mut moved,
        "demo-database",
        "postgres://wallex:hunter2@10.89.0.1:5432/other",
    );
    assert_ne!(original, name(&image, &world()));
    assert_ne!(original, name(&partitions, &world()));
    assert_ne!(original, name(&platform(), &moved));
    assert!(original.starts_with("demo-migrate-"));
}

#[test]
fn scaling_and_settings_of_services_are_no_reason_to_migrate() {
    let scaled = changed(|platform| {
        platform.spec.command.component.replicas = 3;
        platform.spec.kafka.bootstrap_servers = "elsewhere:9092".to_owned();
        platform.spec.database.max_connections = 20;
    });
    assert_eq!(
        built(&platform(), &world()).migration.name_any(),
        built(&scaled, &world()).migration.name_any()
    );
}

#[test]
fn no_manifest_holds_a_secret_value() {
    let manifests = built(&with_redis(), &world());
    assert!(!format!("{manifests:?}").contains("hunter2"));
}

/// The annotation of `kubectl wallex restart` is not the operator's: it does not count as drift, and the manifest does not
/// mention it.
#[test]
fn the_annotation_of_a_restart_is_left_alone() {
    let manifests = built(&platform(), &world());
    for (_, wanted) in &manifests.deployments {
        let text = serde_json::to_value(wanted).unwrap().to_string();
        let mut live = wanted.clone();
        let annotations = live.metadata.annotations.get_or_insert_default();
        annotations.insert(MANIFEST_HASH.to_owned(), names::short_hash([text.as_bytes()], 16));
        assert!(child::is_applied(wanted, &live));
        let template = live.spec.template.metadata.get_or_insert_default();
        template.annotations.get_or_insert_default().insert(
            "kubectl.kubernetes.io/restartedAt".to_owned(),
            "2026-11-24T21:00:00Z".to_owned(),
        );
        assert!(child::is_applied(wanted, &live));
        assert!(!text.contains("restartedAt"));
    }
}
