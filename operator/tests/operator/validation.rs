//! What is refused, and in which words.

use wallex_operator::crd::{RedisSpec, SchemaStatus, SecretKeyRef, WalletPlatformStatus};
use wallex_operator::reconcile::conditions::{Problem, reasons};
use wallex_operator::reconcile::validate::{self, EVENTS};

use crate::fixture::{CLUSTER, changed, platform, secret, validated, world};

fn problem(
    platform: &wallex_operator::crd::WalletPlatform,
    world: &wallex_operator::reconcile::dereference::Dereferenced,
) -> Problem {
    validate::run(platform, world, CLUSTER).unwrap_err()
}

#[test]
fn a_missing_secret_is_named_with_its_namespace() {
    let mut world = world();
    world.secrets.remove("demo-database");
    assert_eq!(
        problem(&platform(), &world),
        Problem::new(
            reasons::SECRET_NOT_FOUND,
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
            reasons::SECRET_KEY_MISSING,
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
    let platform = changed(|platform| platform.spec.redis = Some(RedisSpec { secret_ref }));
    assert_eq!(
        problem(&platform, &world()).message,
        "Secret wallex/nowhere does not exist"
    );
}

#[test]
fn a_value_that_is_no_url_is_refused_without_being_shown() {
    let mut world = world();
    secret(&mut world, "demo-database", "hunter2");
    let problem = problem(&platform(), &world);
    assert_eq!(problem.reason, reasons::SECRET_INVALID);
    assert!(!problem.message.contains("hunter2"), "{}", problem.message);
}

#[test]
fn defaults_are_those_that_the_schema_states() {
    let validated = validated(&platform(), &world());
    assert_eq!(validated.partitions, 10);
    assert_eq!(validated.database.max_connections, 8);
    assert_eq!(validated.topics[EVENTS].name, "wallet-events");
    let retention = (7_i64 * 24 * 3_600_000).to_string();
    assert_eq!(validated.topics[EVENTS].config["retention.ms"], retention);
    assert!(
        validated
            .components
            .values()
            .all(|component| component.replicas == 1)
    );
}

#[test]
fn a_journal_never_gets_fewer_partitions_than_it_has() {
    let platform = changed(|platform| {
        platform.spec.partitions = 4;
        let schema = SchemaStatus {
            partitions: 12,
            ..SchemaStatus::default()
        };
        platform.status = Some(WalletPlatformStatus {
            schema: Some(schema),
            ..WalletPlatformStatus::default()
        });
    });
    let validated = validated(&platform, &world());
    assert_eq!(
        (validated.partitions, validated.fewer_partitions_asked),
        (12, Some(4))
    );
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
    assert_eq!(problem(&platform, &world()).reason, reasons::INVALID_SPEC);
}

#[test]
fn three_copies_need_two_in_sync_and_fewer_need_one() {
    for (copies, in_sync) in [(1, "1"), (2, "1"), (3, "2"), (5, "3")] {
        let platform = changed(|platform| platform.spec.kafka.topics.events.replication_factor = copies);
        assert_eq!(
            validated(&platform, &world()).topics[EVENTS].config["min.insync.replicas"],
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
        validated(&platform, &world()).topics[EVENTS].config["min.insync.replicas"],
        "1"
    );
}

#[test]
fn a_name_that_makes_impossible_services_is_refused() {
    for name in ["1st", "a.b", &"a".repeat(41)] {
        let platform = changed(|platform| platform.metadata.name = Some(name.to_owned()));
        assert_eq!(
            problem(&platform, &world()).reason,
            reasons::INVALID_SPEC,
            "{name}"
        );
    }
}
