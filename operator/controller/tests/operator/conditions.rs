//! The conditions derived from what the stages saw.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use wallex_crd::{Component, WalletPlatformStatus};
use wallex_operator::reconcile::conditions::{
    self, ComponentState, Hold, Problem, Progress, Reason, Seen, types,
};
use wallex_operator::reconcile::status;

use crate::fixture::platform;

pub(crate) fn at(second: i64) -> Timestamp {
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
        problem: None,
    }
}

pub(crate) fn all_well() -> Seen {
    Seen {
        topics: Progress::Done(String::new()),
        schema: Progress::Done(String::new()),
        components: Component::ROLLOUT.map(component).into(),
        ..Seen::default()
    }
}

fn run(observation: &Seen) -> Vec<Condition> {
    conditions::derive(&[], Some(4), observation, at(0))
}

fn find<'a>(conditions: &'a [Condition], type_: &str) -> &'a Condition {
    conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap()
}

/// Status and reason of Ready, Progressing and Degraded.
fn summary(observation: &Seen) -> [(String, String); 3] {
    let conditions = run(observation);
    [types::READY, types::PROGRESSING, types::DEGRADED].map(|type_| {
        let condition = find(&conditions, type_);
        (condition.status.clone(), condition.reason.clone())
    })
}

fn expected(ready: (&str, &str), progressing: (&str, &str), degraded: (&str, &str)) -> [(String, String); 3] {
    [ready, progressing, degraded].map(|(status, reason)| (status.to_owned(), reason.to_owned()))
}

const FINE: (&str, &str) = ("False", Reason::AsExpected.as_str());

#[test]
fn ready_when_topics_schema_and_all_components_are() {
    assert_eq!(
        summary(&all_well()),
        expected(("True", Reason::Ready.as_str()), FINE, FINE)
    );
}

#[test]
fn a_missing_secret_is_the_reason_and_nothing_else_was_checked() {
    let invalid = Problem::new(
        Reason::SecretNotFound,
        "Secret wallex/demo-database does not exist",
    );
    let observation = Seen {
        invalid: Some(invalid),
        ..Seen::default()
    };
    let failed = Reason::SecretNotFound.as_str();
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
    let running = Problem::new(Reason::MigrationRunning, "Job demo-migrate-1 is running");
    let observation = Seen {
        schema: Progress::Waiting(running),
        ..all_well()
    };
    let waiting = Reason::MigrationRunning.as_str();
    assert_eq!(
        summary(&observation),
        expected(("False", waiting), ("True", waiting), FINE)
    );
}

#[test]
fn a_failed_migration_shows_its_error_and_the_components_that_go_on_serving() {
    let failed = Problem::new(Reason::MigrationFailed, "Job demo-migrate-1 failed: disk full");
    let mut observation = Seen {
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
    let problem = Problem::new(Reason::KafkaUnreachable, "no answer");
    let observation = Seen {
        topics: Progress::Failed(problem),
        ..all_well()
    };
    let failed = Reason::KafkaUnreachable.as_str();
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
    let waiting = Reason::RollingOut.as_str();
    assert_eq!(
        summary(&observation),
        expected(("False", waiting), ("True", waiting), FINE)
    );
    assert_eq!(
        find(&run(&observation), types::READY).message,
        "command 1/2 ready"
    );

    observation.components[4].stalled = Some("ReplicaSet \"x\" has timed out progressing.".to_owned());
    let stalled = Reason::RolloutStalled.as_str();
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
    let second = conditions::derive(&first, Some(5), &observation, at(60));
    let topics = find(&second, types::TOPICS_READY);
    assert_eq!(
        (topics.last_transition_time.0, topics.observed_generation),
        (at(0), Some(5))
    );

    observation.topics = Progress::Failed(Problem::new(Reason::KafkaUnreachable, "no answer"));
    let third = conditions::derive(&second, Some(5), &observation, at(120));
    assert_eq!(find(&third, types::TOPICS_READY).last_transition_time.0, at(120));
    assert_eq!(find(&third, types::SCHEMA_READY).last_transition_time.0, at(0));
}

#[test]
fn the_same_observation_gives_the_same_status_at_any_time() {
    let mut platform = platform();
    let first = status::next(&platform, &all_well(), at(0));
    platform.status = Some(first.clone());
    assert_eq!(status::next(&platform, &all_well(), at(3600)), first);
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
    let now = status::next(&platform, &Seen::default(), at(0));
    assert_eq!((now.topics, now.schema), (known.topics, known.schema));
}

#[test]
fn each_transition_of_ready_is_one_event() {
    let platform = platform();
    let ready = status::next(&platform, &all_well(), at(0));
    let invalid = Problem::new(Reason::SecretNotFound, "Secret wallex/x does not exist");
    let broken = Seen {
        invalid: Some(invalid),
        ..Seen::default()
    };
    let broken = status::next(&platform, &broken, at(0));

    assert_eq!(
        status::transition(None, &ready).unwrap().reason,
        Reason::Ready.as_str()
    );
    assert!(status::transition(Some(&ready), &ready).is_none());
    assert_eq!(
        status::transition(Some(&ready), &broken).unwrap().reason,
        Reason::SecretNotFound.as_str()
    );
    assert!(status::transition(Some(&broken), &broken).is_none());
}

fn paused(observation: Seen) -> Seen {
    Seen {
        hold: Some(Hold::Paused),
        topics: Progress::NotChecked,
        ..observation
    }
}

#[test]
fn a_paused_platform_that_runs_as_asked_for_stays_ready_and_says_that_it_is_paused() {
    let held = ("False", Reason::Paused.as_str());
    assert_eq!(
        summary(&paused(all_well())),
        expected(("True", Reason::Paused.as_str()), held, FINE)
    );
}

#[test]
fn a_paused_platform_says_what_would_be_changed() {
    let mut observation = paused(all_well());
    observation.components[3].rolled_out = false;
    let held = ("False", Reason::Paused.as_str());
    assert_eq!(summary(&observation), expected(held, held, FINE));
    assert_eq!(
        find(&run(&observation), types::READY).message,
        "spec.paused is true, so nothing is changed; query is being replaced"
    );
}

#[test]
fn a_problem_of_a_paused_platform_is_not_hidden() {
    let mut observation = paused(all_well());
    observation.invalid = Some(Problem::new(Reason::SecretNotFound, "Secret a/b does not exist"));
    let held = ("False", Reason::Paused.as_str());
    assert_eq!(
        summary(&observation),
        expected(held, held, ("True", Reason::SecretNotFound.as_str()))
    );
}

#[test]
fn what_was_known_of_topics_stands_while_a_platform_is_paused() {
    let before = run(&all_well());
    let after = conditions::derive(&before, Some(5), &paused(all_well()), at(60));
    assert_eq!(
        find(&after, types::TOPICS_READY),
        find(&before, types::TOPICS_READY)
    );
    let never = conditions::derive(&[], Some(5), &paused(all_well()), at(60));
    let topics = find(&never, types::TOPICS_READY);
    assert_eq!(
        (topics.status.as_str(), topics.reason.as_str()),
        ("Unknown", Reason::Paused.as_str())
    );
}

#[test]
fn a_migration_that_waits_for_the_end_of_a_pause_is_not_called_done() {
    let before = run(&all_well());
    let mut observation = paused(all_well());
    observation.schema = Progress::Waiting(Problem::new(Reason::Paused, "the migration waits"));
    let after = conditions::derive(&before, Some(5), &observation, at(60));
    assert_eq!(find(&after, types::SCHEMA_READY).status, "False");
    assert_eq!(find(&after, types::READY).status, "False");
}

#[test]
fn a_suspended_platform_stops_one_component_after_the_other_and_is_then_settled() {
    let mut observation = Seen {
        hold: Some(Hold::Suspended),
        ..all_well()
    };
    for state in &mut observation.components {
        state.rolled_out = false;
    }
    let suspended = Reason::Suspended.as_str();
    assert_eq!(
        summary(&observation),
        expected(("False", suspended), ("True", suspended), FINE)
    );
    assert!(!observation.is_ready());

    for state in &mut observation.components {
        (state.desired, state.ready, state.rolled_out) = (0, 0, true);
    }
    assert_eq!(
        summary(&observation),
        expected(("False", suspended), ("False", suspended), FINE)
    );
    let conditions = run(&observation);
    assert_eq!(
        find(&conditions, types::READY).message,
        "spec.suspended is true, so no component runs"
    );
    assert_eq!(
        find(&conditions, "CommandAvailable").reason,
        Reason::ScaledToZero.as_str()
    );
    // Nothing is left to do, which counts as ready.
    assert!(observation.is_ready());
    assert_eq!(observation.components_ready(), 0);
}

#[test]
fn what_is_left_out_is_said_in_the_message_of_ready() {
    let observation = Seen {
        notes: vec!["spec.x is left out".to_owned()],
        ..all_well()
    };
    let conditions = run(&observation);
    let ready = find(&conditions, types::READY);
    assert_eq!(
        (ready.status.as_str(), ready.message.as_str()),
        ("True", "all components are ready; spec.x is left out")
    );
}

#[test]
fn a_tool_that_waits_is_told_to_go_on_waiting_unless_only_a_person_can_help() {
    let with = |reason| Seen {
        topics: Progress::Failed(Problem::new(reason, "why")),
        ..all_well()
    };
    let there = |observation: &Seen| {
        let conditions = run(observation);
        [types::RECONCILING, types::STALLED].map(|type_| {
            let found = conditions.iter().find(|condition| condition.type_ == type_);
            found.map(|condition| (condition.status.clone(), condition.reason.clone()))
        })
    };
    assert_eq!(there(&all_well()), [None, None]);
    let passing = Some(("True".to_owned(), Reason::KafkaUnreachable.as_str().to_owned()));
    assert_eq!(there(&with(Reason::KafkaUnreachable)), [passing, None]);
    let stalled = Some(("True".to_owned(), Reason::TopicRefused.as_str().to_owned()));
    assert_eq!(there(&with(Reason::TopicRefused)), [None, stalled]);
}

#[test]
fn another_trouble_is_another_event_and_the_same_one_is_not() {
    let platform = platform();
    let with = |reason| {
        let observation = Seen {
            topics: Progress::Failed(Problem::new(reason, "why")),
            ..all_well()
        };
        status::next(&platform, &observation, at(0))
    };
    let (missing, unreachable) = (with(Reason::TopicMissing), with(Reason::KafkaUnreachable));
    let event = status::transition(Some(&missing), &unreachable).unwrap();
    assert_eq!(event.reason, Reason::KafkaUnreachable.as_str());
    assert!(status::transition(Some(&missing), &missing).is_none());
}
