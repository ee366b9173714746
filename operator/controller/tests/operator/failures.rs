//! Why a platform is not ready: what pods, Jobs and Events show, as reasons of conditions; and each reason is documented.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use wallex_crd::{Component, names};
use wallex_operator::reconcile;
use wallex_operator::reconcile::conditions::{ComponentState, Problem, Reason, types};
use wallex_operator::reconcile::observe::pods;
use wallex_operator::scope::Scope;

use crate::conditions::at;
use crate::reconciling::server::World;

#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better in place")]
fn pod(name: &str, created: i64, status: Value) -> Pod {
    let labels = names::labels("demo", Some("command"));
    let created = at(created).to_string();
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "labels": labels, "creationTimestamp": created},
        "status": status,
    }))
    .unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better in place")]
fn container(ready: bool, restarts: i32, state: Value, last: Value) -> Value {
    json!({"phase": "Running", "containerStatuses": [{
        "name": "wallex", "image": "registry/wallex:2", "imageID": "", "ready": ready, "restartCount": restarts,
        "state": state, "lastState": last,
    }]})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

fn ended(code: i32, reason: &str, message: &str, finished: Timestamp) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": finished.to_string()}})
}

/// The termination message of a failed process.
fn failed(code: Option<&str>, message: &str) -> String {
    let mut words = json!({"result": "failed", "message": message});
    if let Some(code) = code {
        words["code"] = code.into();
    }
    words.to_string()
}

/// The problem that command pods created at time 0 show after 60 seconds.
fn seen(pods: &[Pod]) -> Option<Problem> {
    let mut states = [ComponentState {
        component: Component::Command,
        exists: true,
        desired: 1,
        ready: 0,
        updated: 1,
        image: None,
        rolled_out: false,
        stalled: None,
        problem: None,
    }];
    pods::judge(&mut states, pods, at(60));
    states[0].problem.clone()
}

fn only(status: Value) -> Option<Problem> {
    seen(&[pod("demo-command-1", 0, status)])
}

fn none() -> Value {
    json!({})
}

#[test]
fn an_image_that_cannot_be_pulled_is_named_with_the_kubelets_words_whatever_the_try() {
    let error = "rpc error: not found";
    let tries = [
        waiting("ErrImagePull", error),
        waiting(
            "ImagePullBackOff",
            &format!("Back-off pulling image \"registry/wallex:2\": ErrImagePull: {error}"),
        ),
    ];
    for state in tries {
        let problem = only(container(false, 0, state, none())).unwrap();
        assert_eq!(problem.reason, Reason::ImagePullFailed);
        assert_eq!(
            problem.message,
            "pod demo-command-1 can't pull image registry/wallex:2: rpc error: not found"
        );
    }
}

#[test]
fn a_crash_loop_shows_the_containers_last_words() {
    let words = failed(None, "error: WALLEX_MAX_BATCH: 0 is less than 1");
    let end = ended(1, "Error", &words, at(50));
    let backs_off = container(false, 3, waiting("CrashLoopBackOff", "back-off"), end.clone());
    let just_ended = container(false, 2, end.clone(), none());
    let runs_again = container(false, 2, json!({"running": {}}), end);
    for status in [backs_off, just_ended, runs_again] {
        let problem = only(status).unwrap();
        assert_eq!(problem.reason, Reason::CrashLoop);
        assert_eq!(
            problem.message,
            "container wallex of pod demo-command-1 keeps ending with exit code 1: error: WALLEX_MAX_BATCH: 0 is less than 1"
        );
    }
}

#[test]
fn a_container_that_was_killed_for_its_memory_says_so() {
    let end = ended(137, "OOMKilled", "", at(50));
    let problem = only(container(false, 3, waiting("CrashLoopBackOff", ""), end)).unwrap();
    assert!(
        problem.message.ends_with("more memory than its limit"),
        "{}",
        problem.message
    );
}

#[test]
fn one_end_or_one_long_ago_is_no_loop() {
    let first = container(false, 0, ended(1, "Error", "x", at(50)), none());
    assert_eq!(only(first), None);
    let long_ago = ended(1, "Error", "x", at(60 - 601));
    assert_eq!(only(container(false, 5, json!({"running": {}}), long_ago)), None);
    let asked_to_stop = container(false, 2, ended(0, "Completed", "", at(50)), none());
    assert_eq!(only(asked_to_stop), None);
}

#[test]
fn a_database_of_another_platform_is_told_from_other_crashes() {
    let crash = |words: &str| {
        let end = ended(1, "Error", words, at(50));
        only(container(false, 3, waiting("CrashLoopBackOff", ""), end)).unwrap()
    };
    let words = failed(
        Some("DatabaseTaken"),
        "this database belongs to platform c/shop/demo",
    );
    assert_eq!(crash(&words).reason, Reason::DatabaseTaken);
    // From an image without a structured message, or a sidecar: shown, but without a reason.
    let problem = crash("error: DatabaseTaken: this database belongs to platform c/shop/demo");
    assert_eq!(problem.reason, Reason::CrashLoop);
    assert!(problem.message.ends_with("c/shop/demo"), "{}", problem.message);
}

#[test]
fn a_container_that_cannot_start_says_why() {
    let state = waiting(
        "CreateContainerConfigError",
        "couldn't find key url in Secret shop/database",
    );
    let problem = only(container(false, 0, state, none())).unwrap();
    assert_eq!(problem.reason, Reason::ContainerCannotStart);
    assert!(
        problem.message.contains("couldn't find key url"),
        "{}",
        problem.message
    );
    for state in ["ContainerCreating", "PodInitializing"] {
        assert_eq!(only(container(false, 0, waiting(state, ""), none())), None);
    }
}

#[test]
fn a_pod_that_no_node_takes_is_a_problem_after_a_while() {
    let unscheduled = |since| {
        only(json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient cpu.", "lastTransitionTime": at(since).to_string(),
        }]}))
    };
    assert_eq!(unscheduled(46), None);
    let problem = unscheduled(45).unwrap();
    assert_eq!(problem.reason, Reason::PodsUnschedulable);
    assert!(
        problem.message.contains("Insufficient cpu"),
        "{}",
        problem.message
    );
}

#[test]
fn pods_of_others_and_those_that_are_going_are_not_looked_at() {
    let failing = container(false, 0, waiting("ErrImagePull", "x"), none());
    let mut other = pod("demo-query-1", 0, failing.clone());
    other.metadata.labels = Some(names::labels("demo", Some("query")));
    let mut going = pod("demo-command-1", 0, failing);
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    assert_eq!(seen(&[other, going]), None);
}

#[test]
fn the_youngest_pod_is_asked_first() {
    let old = pod(
        "demo-command-1",
        0,
        container(false, 0, waiting("ErrImagePull", "old"), none()),
    );
    let new = pod(
        "demo-command-2",
        30,
        container(false, 0, waiting("ErrImagePull", "new"), none()),
    );
    assert!(seen(&[old, new]).unwrap().message.ends_with("new"));
}

/// The report of a process that waits for its database.
fn no_database() -> Value {
    let away = json!({
        "status": "unready", "reason": "PostgreSQL (db:5432/x) can't be used: connection refused",
        "code": "DatabaseUnreachable",
    });
    json!({"status": "unready", "checks": {"database": away, "start": {"status": "unready", "reason": "starting"}}})
}

/// Reconciles shop/demo twice: the first creates what the second observes.
async fn reconciled(world: &World) {
    let operator = world.operator(vec![Scope::All]);
    for _ in 0..2 {
        reconcile::platform(&operator, "shop", "demo").await.unwrap();
    }
}

fn world() -> World {
    let world = World::default();
    world.add_platform("shop", "demo", &json!({"bootstrapServers": "k:9092"}));
    world
}

/// A Job in this state, with one pod that ended with these `words`, or without a pod but with the words in an Event.
async fn migrating(job: Value, phase: Option<&str>, words: &str) -> (String, String, String) {
    let world = world();
    world.state().job_status = Some(job);
    reconciled(&world).await;
    let name = world
        .state()
        .objects
        .keys()
        .find_map(|path| path.split("/jobs/").nth(1).map(str::to_owned))
        .unwrap();
    if let Some(phase) = phase {
        let mut labels = names::labels("demo", Some("migrate"));
        labels.insert("batch.kubernetes.io/job-name".to_owned(), name);
        let mut status = container(false, 0, ended(1, "Error", words, Timestamp::now()), none());
        status["phase"] = phase.into();
        if phase == "Running" {
            status = json!({"phase": phase, "podIP": "fd00::1"});
            let said = serde_json::from_str(words).unwrap();
            world.state().ready.insert("[fd00::1]:8080".to_owned(), said);
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "status": status, "metadata": {
            "name": "migration-1", "namespace": "shop", "labels": labels,
        }});
        world.state().put("/api/v1/namespaces/shop/pods/migration-1", pod);
    } else {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "shop"},
            "reason": "FailedCreate", "message": words, "involvedObject": {}});
        world.state().put("/api/v1/namespaces/shop/events/e", event);
    }
    reconciled(&world).await;
    world.condition("shop", "demo", types::SCHEMA_READY)
}

#[tokio::test]
async fn a_migration_that_waits_for_postgresql_says_so_while_it_waits() {
    let (status, reason, message) =
        migrating(json!({"active": 1}), Some("Running"), &no_database().to_string()).await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", Reason::DatabaseUnreachable.as_str())
    );
    assert!(
        message.ends_with("PostgreSQL (db:5432/x) can't be used: connection refused"),
        "{message}"
    );
}

#[tokio::test]
async fn a_migration_that_goes_well_is_just_running() {
    let (_, reason, _) = migrating(
        json!({"active": 1}),
        Some("Running"),
        r#"{"status": "ready", "checks": {"database": {"status": "ready"}}}"#,
    )
    .await;
    assert_eq!(reason, Reason::MigrationRunning.as_str());
}

#[tokio::test]
async fn a_migration_on_another_platforms_database_is_refused_in_its_own_words() {
    let words = failed(
        Some("DatabaseTaken"),
        "this database belongs to platform c/shop/first",
    );
    let (_, reason, message) = migrating(json!({"active": 1, "failed": 1}), Some("Failed"), &words).await;
    assert_eq!(reason, Reason::DatabaseTaken.as_str());
    assert!(message.contains("shop/first"), "{message}");
}

#[tokio::test]
async fn a_migration_that_failed_shows_its_error() {
    let gave_up = json!({"conditions": [
        {"type": "Failed", "status": "True", "lastTransitionTime": Timestamp::now().to_string()},
    ]});
    let (_, reason, message) = migrating(gave_up, Some("Failed"), &failed(None, "error: disk full")).await;
    assert_eq!(reason, Reason::MigrationFailed.as_str());
    assert!(message.ends_with("error: disk full"), "{message}");
}

#[tokio::test]
async fn a_migration_whose_pods_are_refused_shows_the_event() {
    let (_, reason, message) = migrating(json!({}), None, "exceeded quota: pods").await;
    assert_eq!(reason, Reason::PodsRefused.as_str());
    assert!(message.ends_with("exceeded quota: pods"), "{message}");
}

#[tokio::test]
async fn refused_pods_and_servers_that_are_away_are_reasons_of_the_component_and_of_the_platform() {
    let world = world();
    reconciled(&world).await;
    assert!(world.is_ready("shop", "demo"));
    let path = |component: &str| format!("/apis/apps/v1/namespaces/shop/deployments/demo-{component}");
    let refused = json!({"observedGeneration": 1, "conditions": [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: memory"},
    ]});
    world.state().objects.get_mut(&path("query")).unwrap()["status"] = refused;
    reconciled(&world).await;
    let (status, reason, message) = world.condition("shop", "demo", "QueryAvailable");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", Reason::PodsRefused.as_str())
    );
    assert_eq!(message, "exceeded quota: memory");
    let (_, reason, message) = world.condition("shop", "demo", types::READY);
    assert_eq!(
        (reason.as_str(), message.as_str()),
        (Reason::PodsRefused.as_str(), "query: exceeded quota: memory")
    );

    // The pods now exist, but none becomes ready, because PostgreSQL is unreachable.
    let unready = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1});
    world.state().objects.get_mut(&path("query")).unwrap()["status"] = unready;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": "demo-query-1", "namespace": "shop", "labels": names::labels("demo", Some("query")),
    }, "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]}});
    world
        .state()
        .put("/api/v1/namespaces/shop/pods/demo-query-1", pod);
    // It can't be reached: there is less to report, and nothing else changes.
    reconciled(&world).await;
    let (_, reason, _) = world.condition("shop", "demo", types::READY);
    assert_ne!(reason, Reason::DatabaseUnreachable.as_str());
    world
        .state()
        .ready
        .insert("10.0.0.1:8080".to_owned(), no_database());
    reconciled(&world).await;
    let (_, reason, message) = world.condition("shop", "demo", types::READY);
    assert_eq!(reason, Reason::DatabaseUnreachable.as_str());
    assert_eq!(
        message,
        "query: pod demo-query-1: PostgreSQL (db:5432/x) can't be used: connection refused"
    );
}

#[test]
fn each_condition_and_each_reason_has_its_row_in_the_documentation_and_no_other_has() {
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let constants: Vec<&str> = types::ALL.iter().copied().chain(reasons).collect();
    let components = Component::ROLLOUT.map(|component| component.row().condition);
    let page = include_str!("../../../../docs/operator-conditions.md");
    let rows: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    for known in constants.iter().chain(&components) {
        let count = rows.iter().filter(|row| *row == known).count();
        // Ready is both a condition and a reason.
        let expected = constants
            .iter()
            .filter(|constant| *constant == known)
            .count()
            .max(1);
        assert_eq!(count, expected, "{known}");
    }
    for row in rows {
        assert!(
            constants.contains(&row) || components.contains(&row),
            "{row} is documented and unknown"
        );
    }
    assert!(constants.len() > 30, "{constants:?}");
}
