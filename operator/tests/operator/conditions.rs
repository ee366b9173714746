//! What the conditions say of what the stages saw.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use wallex_operator::crd::WalletPlatformStatus;
use wallex_operator::names::Component;
use wallex_operator::reconcile::conditions::{
    self, ComponentState, Observation, Problem, Progress, reasons, types,
};
use wallex_operator::reconcile::status;

use crate::fixture::platform;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn component(component: Component) -> ComponentState {
    ComponentState {
        component,
        exists: true,
        desired: 2,
        ready: 2,
        updated: 2,
        image: Some("v1".to_owned()),
        rolled_out: true,
        stalled: None,
    }
}

fn all_well() -> Observation {
    Observation {
        topics: Progress::Done(String::new()),
        schema: Progress::Done(String::new()),
        components: Component::ROLLOUT.map(component).into(),
        ..Observation::default()
    }
}

fn run(observation: &Observation) -> Vec<Condition> {
    conditions::run(&[], Some(4), observation, at(0))
}

fn find<'a>(conditions: &'a [Condition], type_: &str) -> &'a Condition {
    conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap()
}

/// Status and reason of Ready, Progressing and Degraded.
fn summary(observation: &Observation) -> [(String, String); 3] {
    let conditions = run(observation);
    [types::READY, types::PROGRESSING, types::DEGRADED].map(|type_| {
        let condition = find(&conditions, type_);
        (condition.status.clone(), condition.reason.clone())
    })
}

fn expected(ready: (&str, &str), progressing: (&str, &str), degraded: (&str, &str)) -> [(String, String); 3] {
    [ready, progressing, degraded].map(|(status, reason)| (status.to_owned(), reason.to_owned()))
}

const FINE: (&str, &str) = ("False", reasons::AS_EXPECTED);

#[test]
fn ready_when_topics_schema_and_all_components_are() {
    assert_eq!(
        summary(&all_well()),
        expected(("True", reasons::READY), FINE, FINE)
    );
}

#[test]
fn a_missing_secret_is_the_reason_and_nothing_else_was_checked() {
    let invalid = Problem::new(
        reasons::SECRET_NOT_FOUND,
        "Secret wallex/demo-database does not exist",
    );
    let observation = Observation {
        invalid: Some(invalid),
        ..Observation::default()
    };
    let failed = reasons::SECRET_NOT_FOUND;
    assert_eq!(
        summary(&observation),
        expected(("False", failed), FINE, ("True", failed))
    );
    let conditions = run(&observation);
    assert_eq!(
        find(&conditions, types::READY).message,
        "Secret wallex/demo-database does not exist"
    );
    assert_eq!(find(&conditions, types::TOPICS_READY).status, "Unknown");
}

#[test]
fn a_running_migration_is_progress() {
    let running = Problem::new(reasons::MIGRATION_RUNNING, "Job demo-migrate-1 is running");
    let observation = Observation {
        schema: Progress::Waiting(running),
        ..all_well()
    };
    let waiting = reasons::MIGRATION_RUNNING;
    assert_eq!(
        summary(&observation),
        expected(("False", waiting), ("True", waiting), FINE)
    );
}

#[test]
fn a_failed_migration_shows_its_log_and_the_components_that_go_on_serving() {
    let failed = Problem::new(reasons::MIGRATION_FAILED, "Job demo-migrate-1 failed: disk full");
    let mut observation = Observation {
        schema: Progress::Failed(failed),
        ..all_well()
    };
    for state in &mut observation.components {
        state.rolled_out = false;
    }
    let conditions = run(&observation);
    assert_eq!(
        find(&conditions, types::SCHEMA_READY).message,
        "Job demo-migrate-1 failed: disk full"
    );
    assert_eq!(find(&conditions, "CommandAvailable").status, "True");
    assert_eq!(observation.components_ready(), 5);
}

#[test]
fn an_unreachable_kafka_degrades_and_says_so_in_its_own_condition() {
    let problem = Problem::new(reasons::KAFKA_UNREACHABLE, "no answer");
    let observation = Observation {
        topics: Progress::Failed(problem),
        ..all_well()
    };
    let failed = reasons::KAFKA_UNREACHABLE;
    assert_eq!(
        summary(&observation),
        expected(("False", failed), FINE, ("True", failed))
    );
    assert_eq!(find(&run(&observation), types::TOPICS_READY).reason, failed);
}

#[test]
fn a_rollout_is_progress_until_it_stalls() {
    let mut observation = all_well();
    observation.components[4].rolled_out = false;
    observation.components[4].ready = 1;
    let waiting = reasons::ROLLING_OUT;
    assert_eq!(
        summary(&observation),
        expected(("False", waiting), ("True", waiting), FINE)
    );
    assert_eq!(
        find(&run(&observation), types::READY).message,
        "command 1/2 ready"
    );

    observation.components[4].stalled = Some("ReplicaSet \"x\" has timed out progressing.".to_owned());
    let stalled = reasons::ROLLOUT_STALLED;
    assert_eq!(
        summary(&observation),
        expected(("False", stalled), FINE, ("True", stalled))
    );
}

#[test]
fn the_time_of_a_transition_moves_only_with_the_status() {
    let first = run(&all_well());
    let mut observation = all_well();
    observation.topics = Progress::Done("another message".to_owned());
    let second = conditions::run(&first, Some(5), &observation, at(60));
    let topics = find(&second, types::TOPICS_READY);
    assert_eq!(
        (topics.last_transition_time.0, topics.observed_generation),
        (at(0), Some(5))
    );

    observation.topics = Progress::Failed(Problem::new(reasons::KAFKA_UNREACHABLE, "no answer"));
    let third = conditions::run(&second, Some(5), &observation, at(120));
    assert_eq!(find(&third, types::TOPICS_READY).last_transition_time.0, at(120));
    assert_eq!(find(&third, types::SCHEMA_READY).last_transition_time.0, at(0));
}

#[test]
fn the_same_observation_gives_the_same_status_at_any_time() {
    let mut platform = platform();
    let first = status::run(&platform, &all_well(), None, None, at(0));
    platform.status = Some(first.clone());
    assert_eq!(status::run(&platform, &all_well(), None, None, at(3600)), first);
}

#[test]
fn what_was_last_known_of_topics_and_schema_stands_while_it_cannot_be_asked() {
    let mut platform = platform();
    let known: WalletPlatformStatus = serde_json::from_value(serde_json::json!({
        "topics": [{"name": "wallet-events", "partitions": 10, "replicationFactor": 1, "retentionHours": 168}],
        "schema": {"job": "demo-migrate-1", "image": "v1", "partitions": 10},
    }))
    .unwrap();
    platform.status = Some(known.clone());
    let now = status::run(&platform, &Observation::default(), None, None, at(0));
    assert_eq!((now.topics, now.schema), (known.topics, known.schema));
}

#[test]
fn each_transition_of_ready_is_one_event() {
    let platform = platform();
    let ready = status::run(&platform, &all_well(), None, None, at(0));
    let invalid = Problem::new(reasons::SECRET_NOT_FOUND, "Secret wallex/x does not exist");
    let broken = Observation {
        invalid: Some(invalid),
        ..Observation::default()
    };
    let broken = status::run(&platform, &broken, None, None, at(0));

    assert_eq!(status::transition(None, &ready).unwrap().reason, reasons::READY);
    assert!(status::transition(Some(&ready), &ready).is_none());
    assert_eq!(
        status::transition(Some(&ready), &broken).unwrap().reason,
        reasons::SECRET_NOT_FOUND
    );
    assert!(status::transition(Some(&broken), &broken).is_none());
}
