//! What is refused, and with which message.

use wallex_crd::{RedisSpec, SchemaStatus, SecretKeyRef, WalletPlatformStatus};
use wallex_operator::reconcile::conditions::{Problem, Reason};
use wallex_operator::reconcile::validate;

use crate::fixture::{CLUSTER, changed, platform, secret, validated, world};

fn problem(
    platform: &wallex_crd::WalletPlatform,
    world: &wallex_operator::reconcile::dereference::Dereferenced,
) -> Problem {
    validate::platform(platform, world, CLUSTER).unwrap_err()
}

#[test]
fn a_missing_secret_is_named_with_its_namespace() {
    let mut world = world();
    world.secrets.remove("demo-database");
    assert_eq!(
        problem(&platform(), &world),
        Problem::new(
            Reason::SecretNotFound,
            "Secret wallex/demo-database does not exist"
        )
    );
}

#[test]
fn a_secret_without_the_key_is_named_with_the_key() {
    let platform = changed(|platform| platform.spec.database.secret_ref.key = "dsn".to_owned());
    assert_eq!(
        problem(&platform, &world()),
        Problem::new(
            Reason::SecretKeyMissing,
            "Secret wallex/demo-database has no key \"dsn\""
        )
    );
}

#[test]
fn a_secret_of_redis_is_looked_for_too() {
    let secret_ref = SecretKeyRef {
        name: "nowhere".to_owned(),
        key: "url".to_owned(),
    };
    let platform = changed(|platform| {
        platform.spec.redis = Some(RedisSpec {
            secret_ref,
            ca_secret_ref: None,
            ca_config_map_ref: None,
        });
    });
    assert_eq!(
        problem(&platform, &world()).message,
        "Secret wallex/nowhere does not exist"
    );
}

#[test]
fn a_value_that_is_no_url_is_refused_without_being_shown() {
    let platform = crate::fixture::full();
    for name in ["demo-database", "demo-read-database", "demo-redis"] {
        for value in ["hunter2", "http://:hunter2@db/x"] {
            let mut world = crate::fixture::full_world();
            secret(&mut world, name, value);
            let problem = problem(&platform, &world);
            assert_eq!(problem.reason, Reason::SecretInvalid, "{name}");
            assert!(problem.message.contains(name), "{}", problem.message);
            assert!(!problem.message.contains("hunter2"), "{}", problem.message);
        }
    }
}

#[test]
fn defaults_are_those_that_the_schema_states() {
    let validated = validated(&platform(), &world());
    assert_eq!(validated.partitions, 10);
    assert_eq!(validated.database.max_connections, 8);
    assert_eq!(validated.topics.events.name, "wallex.demo.wallet-events");
    let retention = (7_i64 * 24 * 3_600_000).to_string();
    assert_eq!(validated.topics.events.config["retention.ms"], retention);
    assert!(
        validated
            .components
            .values()
            .all(|component| component.replicas == 1)
    );
}

#[test]
fn a_topic_of_kafkas_or_the_operators_own_is_refused() {
    for name in [
        "__consumer_offsets",
        "__transaction_state",
        "__anything",
        "wallex-topic-owners",
        ".",
        "..",
        "a b",
        "a/b",
        "",
    ] {
        for dead_letters in [false, true] {
            let changed = changed(|platform| {
                let topics = &mut platform.spec.kafka.topics;
                let named = Some(name.to_owned());
                if dead_letters {
                    topics.dead_letters.name = named;
                } else {
                    topics.events.name = named;
                }
            });
            assert_eq!(
                problem(&changed, &world()).reason,
                Reason::InvalidSpec,
                "{name:?}"
            );
        }
    }
}

/// Of a platform whose journal has twelve partitions.
fn twelve_partitions() -> WalletPlatformStatus {
    WalletPlatformStatus {
        schema: Some(SchemaStatus {
            partitions: 12,
            ..SchemaStatus::default()
        }),
        ..WalletPlatformStatus::default()
    }
}

#[test]
fn a_journal_never_gets_fewer_partitions_than_it_has() {
    let platform = changed(|platform| {
        platform.spec.partitions = 4;
        platform.status = Some(twelve_partitions());
    });
    let validated = validated(&platform, &world());
    assert_eq!(
        (validated.partitions, validated.fewer_partitions_asked),
        (12, Some(4))
    );
}

fn grown(allowed: bool) -> wallex_crd::WalletPlatform {
    changed(|platform| {
        platform.spec.partitions = 20;
        platform.spec.allow_partition_increase = allowed;
        platform.status = Some(twelve_partitions());
    })
}

#[test]
fn a_journal_grows_only_when_that_is_allowed() {
    let held = validated(&grown(false), &world());
    assert_eq!((held.partitions, held.more_partitions_asked), (12, Some(20)));
    assert_eq!(held.topics.events.partitions, 12);
    let free = validated(&grown(true), &world());
    assert_eq!((free.partitions, free.more_partitions_asked), (20, None));
    assert_eq!(free.topics.events.partitions, 20);
}

#[test]
fn the_read_database_must_be_postgresql_too() {
    let platform = changed(|platform| {
        platform.spec.database.read_secret_ref = Some(SecretKeyRef {
            name: "demo-redis".to_owned(),
            key: "url".to_owned(),
        });
    });
    assert_eq!(
        problem(&platform, &world()),
        Problem::new(
            Reason::SecretInvalid,
            "key \"url\" of Secret wallex/demo-redis must be a URL that starts with postgres:// or postgresql://"
        )
    );
}

#[test]
fn what_would_overrule_the_operator_is_refused_though_the_schema_let_it_through() {
    let label = changed(|platform| {
        let labels = &mut platform.spec.query.component.pods.pod_labels;
        labels.insert("app.kubernetes.io/component".to_owned(), "x".to_owned());
    });
    let annotation = changed(|platform| {
        let annotations = &mut platform.spec.jobs.pod_annotations;
        annotations.insert("wallex.dev/secret-hash".to_owned(), "x".to_owned());
    });
    let variable = changed(|platform| {
        platform.spec.command.component.pods.extra_env =
            serde_json::from_value(serde_json::json!([{"name": "WALLEX_LISTEN", "value": "x"}])).unwrap();
    });
    for (platform, field) in [
        (label, "spec.query.podLabels: app.kubernetes.io/component"),
        (annotation, "spec.jobs.podAnnotations: wallex.dev/secret-hash"),
        (variable, "spec.command.extraEnv: WALLEX_LISTEN"),
    ] {
        let problem = problem(&platform, &world());
        assert_eq!(problem.reason, Reason::InvalidSpec);
        assert!(problem.message.starts_with(field), "{}", problem.message);
    }
}

#[test]
fn a_secret_of_extra_environment_must_exist_unless_it_is_optional() {
    let with = |optional: bool| {
        changed(|platform| {
            platform.spec.query.component.pods.extra_env = serde_json::from_value(serde_json::json!([
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "x", "optional": optional}}},
            ]))
            .unwrap();
        })
    };
    assert_eq!(
        problem(&with(false), &world()).message,
        "Secret wallex/nowhere does not exist"
    );
    validated(&with(true), &world());
}

#[test]
fn the_operator_reaches_kafka_as_its_pods_do_and_shows_no_secret() {
    let full = validated(&crate::fixture::full(), &crate::fixture::full_world());
    for (property, value) in [
        ("security.protocol", "sasl_ssl"),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", "wallex"),
        ("sasl.password", "hunter2"),
        ("ssl.ca.pem", "-----BEGIN CERTIFICATE-----"),
        ("ssl.key.pem", "hunter2"),
    ] {
        assert_eq!(full.kafka.security[property], value, "{property}");
    }
    assert!(!format!("{full:?}").contains("hunter2"));
    assert!(validated(&platform(), &world()).kafka.security.is_empty());
}

#[test]
fn tls_and_sasl_each_work_without_the_other() {
    for (kafka, protocol) in [
        (serde_json::json!({"tls": {}}), "ssl"),
        (
            serde_json::json!({"sasl": {"secretRef": {"name": "kafka-user"}}}),
            "sasl_plaintext",
        ),
    ] {
        let mut world = world();
        crate::fixture::values(&mut world, "kafka-user", &[("username", "u"), ("password", "p")]);
        let platform = changed(|platform| {
            let mut spec = serde_json::to_value(&platform.spec).unwrap();
            let fields = kafka.as_object().unwrap().clone();
            spec["kafka"].as_object_mut().unwrap().extend(fields);
            platform.spec = serde_json::from_value(spec).unwrap();
        });
        let kafka = validated(&platform, &world).kafka;
        assert_eq!(kafka.security["security.protocol"], protocol);
    }
}

#[test]
fn every_secret_and_config_map_that_a_spec_names_is_read() {
    use wallex_operator::reconcile::dereference::{config_map_names, secret_names};
    let maps: Vec<String> = config_map_names(&crate::fixture::full().spec)
        .map(str::to_owned)
        .collect();
    assert_eq!(maps, ["trust"]);
    let names: std::collections::BTreeSet<String> = secret_names(&crate::fixture::full().spec)
        .map(str::to_owned)
        .collect();
    let expected = [
        "database-ca",
        "demo-database",
        "demo-extra",
        "demo-read-database",
        "demo-redis",
        "kafka-ca",
        "kafka-client",
        "kafka-user",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn a_topic_that_would_be_compacted_is_refused() {
    let platform = changed(|platform| {
        platform
            .spec
            .kafka
            .topics
            .events
            .config
            .insert("cleanup.policy".into(), "compact,delete".into());
    });
    assert_eq!(problem(&platform, &world()).reason, Reason::InvalidSpec);
}

#[test]
fn three_copies_need_two_in_sync_and_fewer_need_one() {
    for (copies, in_sync) in [(1, "1"), (2, "1"), (3, "2"), (5, "3")] {
        let platform = changed(|platform| platform.spec.kafka.topics.events.replication_factor = copies);
        assert_eq!(
            validated(&platform, &world()).topics.events.config["min.insync.replicas"],
            in_sync
        );
    }
}

#[test]
fn free_form_configuration_wins_over_what_follows_from_the_copies() {
    let platform = changed(|platform| {
        platform.spec.kafka.topics.events.replication_factor = 3;
        platform
            .spec
            .kafka
            .topics
            .events
            .config
            .insert("min.insync.replicas".into(), "1".into());
    });
    assert_eq!(
        validated(&platform, &world()).topics.events.config["min.insync.replicas"],
        "1"
    );
}

#[test]
fn a_name_that_makes_impossible_services_is_refused() {
    for name in ["1st", "a.b", &"a".repeat(41)] {
        let platform = changed(|platform| platform.metadata.name = Some(name.to_owned()));
        assert_eq!(problem(&platform, &world()).reason, Reason::InvalidSpec, "{name}");
    }
}
