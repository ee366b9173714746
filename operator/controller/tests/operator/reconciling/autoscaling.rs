//! Autoscaling switched on and off, to another driver, suspended and resumed: only those who may change the number of pods do,
//! and the operator writes none while an autoscaler exists.

use serde_json::{Value, json};
use wallex_crd::names::{HANDOVER, MANAGER};
use wallex_operator::reconcile::conditions::{Reason, types};

use super::server::World;
use super::{demo, expected, once, until_ready, world};

const LEDGER: &str = "demo-ledger-projector";
const QUERY: &str = "demo-query";
const OBJECTS: &str = "scaledobjects";
const AUTOSCALERS: &str = "horizontalpodautoscalers";

/// A platform with three ledger projector pods, with the recorded numbers and writes cleared.
async fn three(keda: bool) -> World {
    let world = world();
    world.state().keda = keda;
    ledger(&world, &json!({"replicas": 3}));
    until_ready(&world).await;
    assert_eq!(world.scaled(LEDGER), [(3, MANAGER.to_owned())]);
    world.written();
    world
}

fn ledger(world: &World, spec: &Value) {
    world.change("shop", "demo", |platform| {
        platform["spec"]["projectors"] = json!({"ledger": spec});
    });
}

fn scaled(max: i32) -> Value {
    json!({"replicas": 3, "autoscaling": {"maxReplicas": max}})
}

/// KEDA adopts the ledger projector, and autoscaling is active.
async fn adopted(world: &World) {
    world.keda_adopts(LEDGER);
    once(world).await;
    assert_eq!(
        demo(world, types::AUTOSCALING_ACTIVE),
        expected("True", Reason::Active)
    );
}

/// A platform whose ledger projector KEDA scales; it has three pods.
async fn by_keda() -> World {
    let world = three(true).await;
    ledger(&world, &scaled(8));
    once(&world).await;
    adopted(&world).await;
    world.scaled(LEDGER);
    world.written();
    world
}

/// KEDA removes its finalizer from a ScaledObject that is being deleted.
fn keda_finalizes(world: &World) {
    let object = world.autoscaler(OBJECTS, LEDGER).unwrap();
    assert!(object["metadata"]["deletionTimestamp"].is_string(), "{object}");
    world.delete_autoscaler(OBJECTS, LEDGER);
}

fn says(deployments: &[(i64, &str)]) -> Vec<(i64, String)> {
    deployments
        .iter()
        .map(|(number, by)| (*number, (*by).to_owned()))
        .collect()
}

#[tokio::test]
async fn switched_on_the_number_is_handed_over_and_then_written_by_nobody_but_the_autoscaler() {
    let world = three(true).await;
    ledger(&world, &scaled(8));
    once(&world).await;
    let writes = world.written();
    let of_ledger: Vec<&String> = writes.iter().filter(|write| write.contains(LEDGER)).collect();
    assert_eq!(
        of_ledger.len(),
        3,
        "the autoscaler, the number, the Deployment: {of_ledger:?}"
    );
    assert!(of_ledger[0].contains(OBJECTS), "{of_ledger:?}");
    assert_eq!(world.scaled(LEDGER), says(&[(3, HANDOVER)]));
    assert_eq!(world.owners(LEDGER), [HANDOVER]);
    assert_eq!(
        demo(&world, types::AUTOSCALING_ACTIVE),
        expected("False", Reason::HandingOver)
    );
    world.keda_adopts(LEDGER);
    once(&world).await;
    world.written();

    world.scale(LEDGER, 6);
    for _ in 0..3 {
        once(&world).await;
    }
    // Only the status reports it.
    let writes = world.written();
    assert!(
        writes.iter().all(|write| write.ends_with("/status")) && writes.len() <= 1,
        "{writes:?}"
    );
    let status = &world.platform("shop", "demo").unwrap()["status"]["components"][1];
    assert_eq!(
        (&status["name"], &status["desired"]),
        (&json!("ledger-projector"), &json!(6))
    );

    world.change("shop", "demo", |platform| {
        platform["spec"]["image"] = json!("wallex:2");
    });
    until_ready(&world).await;
    assert_eq!(
        world.scaled(LEDGER),
        says(&[(6, super::scaling::HPA)]),
        "a new image states no number"
    );
    assert_eq!(world.replicas(LEDGER), 6);
}

#[tokio::test]
async fn switched_off_the_number_stays_until_both_of_kedas_objects_are_gone_and_is_then_the_stated_one() {
    let world = by_keda().await;
    world.scale(LEDGER, 6);
    world.scaled(LEDGER);
    ledger(&world, &json!({"replicas": 2}));
    once(&world).await;
    once(&world).await;
    keda_finalizes(&world);
    once(&world).await;
    assert_eq!(
        (world.scaled(LEDGER), world.replicas(LEDGER)),
        (Vec::new(), 6),
        "its own autoscaler is still there"
    );

    world.delete_autoscaler(AUTOSCALERS, &format!("keda-hpa-{LEDGER}"));
    until_ready(&world).await;
    assert_eq!(world.scaled(LEDGER), says(&[(2, MANAGER)]));
    assert_eq!(
        demo(&world, types::AUTOSCALING_ACTIVE),
        (String::new(), String::new()),
        "there only while something is scaled"
    );
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_process_that_dies_between_any_two_writes_leaves_the_number_as_it_is() {
    for writes in 0..6 {
        for back in [false, true] {
            let world = three(true).await;
            ledger(&world, &scaled(8));
            world.state().writes_left = Some(writes);
            once(&world).await;
            world.state().writes_left = None;
            if back {
                // By then, the user has changed their mind.
                ledger(&world, &json!({"replicas": 3}));
            }
            for _ in 0..3 {
                once(&world).await;
            }
            let moved: Vec<_> = world
                .scaled(LEDGER)
                .into_iter()
                .filter(|(number, _)| *number != 3)
                .collect();
            assert_eq!(
                (moved, world.replicas(LEDGER)),
                (Vec::new(), 3),
                "{writes} {back}"
            );
            assert_eq!(
                world.autoscaler(OBJECTS, LEDGER).is_some(),
                !back,
                "{writes} {back}"
            );
            let owner = if back { MANAGER } else { HANDOVER };
            assert!(
                world.owners(LEDGER).contains(&owner.to_owned()),
                "{writes} {back}"
            );
        }
    }
}

#[tokio::test]
async fn a_number_that_is_scaled_while_it_is_handed_over_is_kept() {
    let world = three(true).await;
    ledger(&world, &scaled(8));
    world.state().race = Some((LEDGER.to_owned(), 5));
    once(&world).await;
    once(&world).await;
    assert_eq!(world.scaled(LEDGER), says(&[(5, super::scaling::HPA)]));
    assert_eq!(world.owners(LEDGER), [super::scaling::HPA]);
    assert_ne!(demo(&world, types::DEGRADED).0, "True");
}

#[tokio::test]
async fn another_driver_waits_until_the_old_one_is_gone_and_moves_nothing() {
    let world = three(false).await;
    ledger(&world, &scaled(8));
    until_ready(&world).await;
    world.kubernetes_adopts(LEDGER);
    world.scale(LEDGER, 5);
    world.scaled(LEDGER);

    // Someone installs KEDA.
    world.state().keda = true;
    once(&world).await;
    assert!(world.autoscaler(AUTOSCALERS, LEDGER).is_none());
    assert!(world.autoscaler(OBJECTS, LEDGER).is_none(), "one after the other");
    once(&world).await;
    adopted(&world).await;

    world.change("shop", "demo", |platform| {
        platform["spec"]["autoscaling"] = json!({"driver": "HPA"});
    });
    once(&world).await;
    keda_finalizes(&world);
    once(&world).await;
    assert!(
        world.autoscaler(AUTOSCALERS, LEDGER).is_none(),
        "KEDA's own is still there"
    );
    world.delete_autoscaler(AUTOSCALERS, &format!("keda-hpa-{LEDGER}"));
    once(&world).await;
    world.kubernetes_adopts(LEDGER);
    once(&world).await;
    assert_eq!(
        demo(&world, types::AUTOSCALING_ACTIVE),
        expected("True", Reason::Active)
    );
    assert_eq!((world.scaled(LEDGER), world.replicas(LEDGER)), (Vec::new(), 5));
}

#[tokio::test]
async fn suspended_the_autoscaler_goes_first_and_resumed_it_comes_last_at_its_least() {
    let world = by_keda().await;
    world.scale(LEDGER, 6);
    world.scaled(LEDGER);
    world.change("shop", "demo", |platform| {
        platform["spec"]["suspended"] = json!(true);
        platform["spec"]["projectors"]["ledger"]["autoscaling"]["minReplicas"] = json!(2);
    });
    for _ in 0..4 {
        once(&world).await;
    }
    assert_eq!((world.scaled(LEDGER), world.replicas(LEDGER)), (Vec::new(), 6));
    keda_finalizes(&world);
    once(&world).await;
    assert_eq!(world.replicas(LEDGER), 6);
    world.delete_autoscaler(AUTOSCALERS, &format!("keda-hpa-{LEDGER}"));
    for _ in 0..4 {
        once(&world).await;
    }
    assert_eq!(world.scaled(LEDGER), says(&[(0, MANAGER)]));
    assert_eq!(
        demo(&world, types::AUTOSCALING_ACTIVE),
        expected("False", Reason::Suspended)
    );
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());

    world.change("shop", "demo", |platform| {
        platform["spec"]["suspended"] = json!(false);
    });
    once(&world).await;
    let writes = world.written();
    let last = writes.iter().rfind(|write| write.contains(LEDGER)).unwrap();
    assert!(last.contains(OBJECTS), "{writes:?}");
    assert_eq!(world.scaled(LEDGER), says(&[(2, HANDOVER)]));
    world.keda_adopts(LEDGER);
    until_ready(&world).await;
    assert_eq!((world.scaled(LEDGER), world.replicas(LEDGER)), (Vec::new(), 2));
}

#[tokio::test]
async fn a_platform_that_is_new_is_scaled_from_its_first_pod_on_and_reaches_a_fixed_point() {
    let world = world();
    world.state().keda = true;
    world.change("shop", "demo", |platform| {
        let by_cpu = json!({"autoscaling": {"maxReplicas": 4}});
        platform["spec"]["command"] = by_cpu.clone();
        platform["spec"]["query"] = by_cpu;
        platform["spec"]["projectors"] = json!({"ledger": scaled(8), "readModel": scaled(8)});
    });
    until_ready(&world).await;
    for deployment in [LEDGER, QUERY] {
        assert_eq!(world.replicas(deployment), 1);
    }
    for name in ["demo-command", QUERY] {
        world.kubernetes_adopts(name);
    }
    for name in [LEDGER, "demo-read-model-projector"] {
        world.keda_adopts(name);
    }
    once(&world).await;
    assert_eq!(
        demo(&world, types::AUTOSCALING_ACTIVE),
        expected("True", Reason::Active)
    );
    world.written();
    for _ in 0..3 {
        once(&world).await;
    }
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lag_that_cannot_be_read_is_said_and_moves_nothing() {
    let world = by_keda().await;
    world.change_autoscaler(OBJECTS, LEDGER, |object| {
        object["status"]["conditions"][1]["status"] = json!("True");
    });
    once(&world).await;
    let (status, reason, message) = world.condition("shop", "demo", types::AUTOSCALING_ACTIVE);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", Reason::MetricUnavailable.as_str())
    );
    assert!(
        message.starts_with("ledger-projector: KEDA can't read the lag"),
        "{message}"
    );
    // The pods keep serving, and Ready mentions the problem.
    let (status, _, message) = world.condition("shop", "demo", types::READY);
    assert!(
        status == "True" && message.contains("autoscaling is not active"),
        "{message}"
    );
    assert_eq!(demo(&world, types::DEGRADED).0, "False");
    assert_eq!((world.scaled(LEDGER), world.replicas(LEDGER)), (Vec::new(), 3));
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test]
async fn without_keda_its_driver_is_missing_and_the_number_stays() {
    let world = three(false).await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["autoscaling"] = json!({"driver": "KEDA"});
        platform["spec"]["projectors"] = json!({"ledger": scaled(8)});
    });
    until_ready(&world).await;
    let (status, reason, message) = world.condition("shop", "demo", types::AUTOSCALING_ACTIVE);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", Reason::DriverMissing.as_str())
    );
    assert!(message.contains("install KEDA"), "{message}");
    assert_eq!(
        (world.scaled(LEDGER), world.replicas(LEDGER)),
        (says(&[(3, HANDOVER)]), 3)
    );
    world.state().keda = true;
    once(&world).await;
    assert!(world.autoscaler(OBJECTS, LEDGER).is_some());
}

#[tokio::test]
async fn an_autoscaler_that_was_changed_or_deleted_is_mended() {
    let world = by_keda().await;
    world.change_autoscaler(OBJECTS, LEDGER, |object| {
        object["spec"]["maxReplicaCount"] = json!(100);
    });
    once(&world).await;
    assert_eq!(
        world.autoscaler(OBJECTS, LEDGER).unwrap()["spec"]["maxReplicaCount"],
        8
    );
    world.delete_autoscaler(OBJECTS, LEDGER);
    once(&world).await;
    assert!(world.autoscaler(OBJECTS, LEDGER).is_some());
    assert_eq!(world.scaled(LEDGER), Vec::new());
}

#[tokio::test]
async fn pods_that_an_autoscaler_has_just_asked_for_do_not_take_ready_away() {
    let world = by_keda().await;
    world.scale(LEDGER, 6);
    world.change_autoscaler("deployments", LEDGER, |object| {
        object["status"]["readyReplicas"] = json!(3);
    });
    once(&world).await;
    assert_eq!(demo(&world, types::READY), expected("True", Reason::Ready));
    world.change_autoscaler("deployments", LEDGER, |object| {
        object["status"]["readyReplicas"] = json!(0);
    });
    once(&world).await;
    assert_eq!(demo(&world, types::READY).0, "False");
}
