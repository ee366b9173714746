//! Argo CD's health check (charts/argocd-health.lua) on statuses that the operator writes.

use mlua::{Lua, LuaSerdeExt as _, Table};
use serde_json::{Value, json};
use wallex_crd::{ProjectionStatus, WalletPlatform};
use wallex_operator::reconcile::conditions::{Lag, Problem, Progress, Reason, Seen};
use wallex_operator::reconcile::status;

use crate::conditions::{all_well, at};
use crate::fixture::changed;

const CHECK: &str = include_str!("../../../../charts/argocd-health.lua");

/// Health status and message of a live object.
fn health(object: &Value) -> (String, String) {
    let lua = Lua::new();
    lua.globals().set("obj", lua.to_value(object).unwrap()).unwrap();
    let health: Table = lua.load(CHECK).eval().unwrap();
    (health.get("status").unwrap(), health.get("message").unwrap())
}

/// The object with the status that the operator writes after `observation`.
fn live(platform: &WalletPlatform, observation: &Seen) -> Value {
    let mut live = platform.clone();
    live.status = Some(status::next(platform, observation, at(0)));
    serde_json::to_value(live).unwrap()
}

fn plain() -> WalletPlatform {
    changed(|_| {})
}

#[test]
fn a_ready_platform_is_healthy() {
    let (status, message) = health(&live(&plain(), &all_well()));
    assert_eq!(
        (status.as_str(), message.as_str()),
        ("Healthy", "Ready: all components are ready")
    );
}

#[test]
fn a_platform_whose_projections_lag_is_healthy_since_it_serves() {
    for lag in [Lag::Known(vec![behind(95)]), Lag::Unknown("no answer".to_owned())] {
        let object = live(&plain(), &Seen { lag, ..all_well() });
        let conditions = object["status"]["conditions"].as_array().unwrap();
        let current = conditions
            .iter()
            .find(|condition| condition["type"] == "ProjectionsCurrent");
        assert_ne!(current.unwrap()["status"], "True");
        assert_eq!(health(&object).0, "Healthy");
        // What kstatus checks.
        assert!(
            conditions
                .iter()
                .all(|condition| !["Reconciling", "Stalled"].contains(&condition["type"].as_str().unwrap()))
        );
    }
}

fn behind(seconds: i64) -> ProjectionStatus {
    ProjectionStatus {
        name: "read-model".to_owned(),
        lag_events: 1250,
        lag_seconds: seconds,
    }
}

#[test]
fn a_failure_is_degraded_and_says_why() {
    let failed = Problem::new(Reason::KafkaUnreachable, "no answer");
    let observation = Seen {
        topics: Progress::Failed(failed),
        ..all_well()
    };
    let (status, message) = health(&live(&plain(), &observation));
    assert_eq!(
        (status.as_str(), message.as_str()),
        ("Degraded", "KafkaUnreachable: no answer")
    );
}

#[test]
fn what_is_under_way_is_progressing() {
    let running = Problem::new(Reason::MigrationRunning, "Job x is running");
    let observation = Seen {
        schema: Progress::Waiting(running),
        ..all_well()
    };
    let (status, message) = health(&live(&plain(), &observation));
    assert_eq!(
        (status.as_str(), message.as_str()),
        ("Progressing", "MigrationRunning: Job x is running")
    );
}

#[test]
fn a_new_object_and_a_changed_one_are_progressing_until_the_operator_has_looked() {
    let new = serde_json::to_value(plain()).unwrap();
    let mut defaulted = new.clone();
    defaulted["status"] = json!({"observedGeneration": -1});
    let mut changed = live(&plain(), &all_well());
    changed["metadata"]["generation"] = json!(5);
    for object in [new, defaulted, changed] {
        assert_eq!(health(&object).0, "Progressing", "{object}");
    }
}

#[test]
fn a_platform_that_is_told_to_hold_still_is_suspended() {
    let suspended = changed(|platform| platform.spec.suspended = true);
    let observation = Seen {
        hold: Some(wallex_operator::reconcile::conditions::Hold::Suspended),
        ..all_well()
    };
    assert_eq!(health(&live(&suspended, &observation)).0, "Suspended");
}
