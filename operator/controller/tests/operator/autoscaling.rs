//! The objects and the bounds of autoscaling, for each driver.

use serde_json::{Value, json};
use wallex_crd::children::Children;
use wallex_crd::{Component, Projection, WalletPlatform};
use wallex_operator::reconcile::build::{Manifests, Scaler};
use wallex_operator::reconcile::conditions::Reason;
use wallex_operator::reconcile::observe::autoscaling;
use wallex_operator::reconcile::validate::{LagDriver, Measure};

use crate::fixture::{built, changed, full, full_world, platform, template, validated, world};

/// Every scalable component is scaled, as the API server would return it.
fn all(driver: &str) -> WalletPlatform {
    let steps = json!({"scaleUp": {}, "scaleDown": {}});
    let merged = |mut own: Value| {
        own.as_object_mut()
            .unwrap()
            .extend(steps.as_object().unwrap().clone());
        json!({"replicas": 7, "autoscaling": own})
    };
    let mut object = serde_json::to_value(platform()).unwrap();
    let spec = &mut object["spec"];
    spec["autoscaling"] = json!({"driver": driver});
    spec["command"] = merged(json!({"minReplicas": 2, "maxReplicas": 6, "cpuUtilization": 70}));
    spec["query"] = merged(json!({"minReplicas": 1, "maxReplicas": 6, "cpuUtilization": 70}));
    let by_lag = merged(json!({"minReplicas": 1, "maxReplicas": 8, "lagThreshold": 1000}));
    spec["projectors"] = json!({"ledger": by_lag, "readModel": by_lag});
    serde_json::from_value(object).unwrap()
}

fn text(manifests: &Manifests) -> String {
    let scalers = manifests.scalers.iter().map(|(_, scaler)| {
        match scaler {
            Scaler::Keda(object) => serde_yaml_ng::to_string(object),
            Scaler::Hpa(object) => serde_yaml_ng::to_string(object),
        }
        .unwrap()
    });
    scalers.collect::<Vec<_>>().join("---\n")
}

#[test]
fn autoscalers_are_as_reviewed() {
    insta::assert_snapshot!("autoscalers-keda", text(&built(&all("KEDA"), &world())));
    insta::assert_snapshot!("autoscalers-hpa", text(&built(&all("HPA"), &world())));
    // Brokers with TLS and a password, and every setting.
    insta::assert_snapshot!("autoscalers-full", text(&built(&full(), &full_world())));
}

#[test]
fn a_scaled_deployment_states_no_number_and_its_pods_do_not_change_by_it() {
    let (scaled, plain) = (built(&all("Auto"), &world()), built(&platform(), &world()));
    for (component, deployment) in &scaled.deployments {
        let expected = (*component == Component::Publisher).then_some(1);
        assert_eq!(deployment.spec.replicas, expected, "{component:?}");
        assert_eq!(template(&scaled, *component), template(&plain, *component));
    }
}

#[test]
fn keda_asks_the_command_where_there_is_no_query() {
    let asked = |platform: &WalletPlatform| {
        let manifests = built(platform, &world());
        let Some(Scaler::Keda(found)) = manifests
            .scaler(Component::Projector(Projection::ReadModel))
            .cloned()
        else {
            panic!("no ScaledObject");
        };
        found.spec.triggers[0].metadata.clone()
    };
    let mut platform = all("KEDA");
    let trigger = asked(&platform);
    assert_eq!(
        trigger["url"],
        "http://demo-query.wallex.svc:8080/health/projections"
    );
    assert_eq!(trigger["valueLocation"], "projections.1.lag_events");
    platform.spec.query.autoscaling = None;
    platform.spec.query.component.replicas = 0;
    assert!(asked(&platform)["url"].contains("demo-command."));
}

/// The services report the projections in the order that KEDA's triggers rely on.
#[test]
fn the_report_lists_the_projections_in_the_order_that_is_counted_on() {
    let reported = wallex_projections::Name::ALL.map(wallex_projections::Name::as_str);
    assert_eq!(reported, Projection::ALL.map(Projection::name));
}

#[test]
fn a_suspended_platform_has_no_autoscaler_and_states_no_pods() {
    let mut suspended = all("Auto");
    suspended.spec.suspended = true;
    let manifests = built(&suspended, &world());
    assert!(manifests.scalers.is_empty());
    for (_, deployment) in &manifests.deployments {
        assert_eq!(deployment.spec.replicas, Some(0));
    }
}

#[test]
fn auto_takes_keda_where_it_is_and_the_driver_concerns_the_lag_alone() {
    let without = |driver: &str| {
        let mut world = world();
        world.no_keda = Some("no");
        validated(&all(driver), &world).lag_driver
    };
    let with = |driver: &str| validated(&all(driver), &world()).lag_driver;
    assert_eq!(
        [with("Auto"), with("KEDA"), with("HPA")],
        [LagDriver::Keda, LagDriver::Keda, LagDriver::Hpa]
    );
    assert_eq!(
        [without("Auto"), without("KEDA"), without("HPA")],
        [LagDriver::Hpa, LagDriver::Missing("no"), LagDriver::Hpa]
    );
    let manifests = built(&all("KEDA"), &world());
    for (component, scaler) in &manifests.scalers {
        let keda = matches!(scaler, Scaler::Keda(_));
        assert_eq!(keda, component.projection().is_some(), "{component:?}");
    }
}

/// The spec was accepted with ten partitions; the journal has four and may not grow.
#[test]
fn a_projector_gets_no_more_pods_than_the_journal_has_partitions() {
    let mut fewer = all("Auto");
    fewer.status =
        Some(serde_json::from_value(json!({"schema": {"job": "j", "image": "i", "partitions": 4}})).unwrap());
    fewer
        .spec
        .projectors
        .ledger
        .autoscaling
        .as_mut()
        .unwrap()
        .min_replicas = 6;
    let platform = validated(&fewer, &world());
    let ledger = platform
        .component(Component::Projector(Projection::Ledger))
        .autoscaling
        .clone()
        .unwrap();
    assert_eq!((ledger.min, ledger.max, ledger.more_asked), (4, 4, Some(8)));
    let command = platform
        .component(Component::Command)
        .autoscaling
        .clone()
        .unwrap();
    assert_eq!((command.min, command.max, command.more_asked), (2, 6, None));
    assert_eq!(ledger.by, Measure::Lag(1000));
}

#[test]
fn steps_that_are_stated_replace_the_default_of_their_direction() {
    let stated = changed(|platform| {
        platform.spec = all("Auto").spec;
        let scaling = platform.spec.query.autoscaling.as_mut().unwrap();
        scaling.scale_up.pods = Some(1);
        scaling.scale_down.stabilization_seconds = Some(0);
    });
    let query = validated(&stated, &world())
        .component(Component::Query)
        .autoscaling
        .clone()
        .unwrap();
    assert_eq!(
        (query.up.pods, query.up.percent, query.up.period_seconds),
        (Some(1), None, 30)
    );
    assert_eq!(
        (
            query.down.stabilization_seconds,
            query.down.pods,
            query.down.percent
        ),
        (0, None, Some(50))
    );
}

/// The condition when the live autoscalers have this `status`.
fn said(platform: &WalletPlatform, status: &Value) -> (&'static str, Reason, String) {
    let validated = validated(platform, &world());
    let manifests = wallex_operator::reconcile::build::manifests(&validated);
    let mut children = Children::default();
    for (_, scaler) in &manifests.scalers {
        match scaler {
            Scaler::Keda(object) => children.scaled_objects.push(with(&**object, status)),
            Scaler::Hpa(object) => children.autoscalers.push(with(&**object, status)),
        }
    }
    let (status, problem) = autoscaling::verdict(&validated, &manifests, &children).unwrap();
    (status, problem.reason, problem.message)
}

fn with<K: serde::Serialize + serde::de::DeserializeOwned>(built: &K, status: &Value) -> K {
    let mut object = serde_json::to_value(built).unwrap();
    object["status"] = status.clone();
    serde_json::from_value(object).unwrap()
}

/// A platform in which only one projector is scaled.
fn ledger(driver: &str) -> WalletPlatform {
    let mut platform = all(driver);
    platform.spec.command.autoscaling = None;
    platform.spec.query.autoscaling = None;
    platform.spec.projectors.read_model.autoscaling = None;
    platform
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message})
}

#[test]
fn the_condition_repeats_what_keda_says() {
    let ready = condition("Ready", "True", "ScaledObjectReady", "");
    let keda = |conditions: Value| said(&ledger("KEDA"), &json!({"conditions": conditions}));
    assert_eq!(
        keda(json!([ready])),
        (
            "True",
            Reason::Active,
            "ledger-projector 1 to 8 by lag, KEDA".to_owned()
        )
    );
    let (status, reason, message) = keda(json!([condition("Ready", "False", "TriggerError", "no broker")]));
    assert_eq!((status, reason), ("False", Reason::MetricUnavailable));
    assert!(
        message.contains("TriggerError: no broker") && message.contains("the number of pods stays"),
        "{message}"
    );
    let (_, reason, _) = keda(json!([
        ready,
        condition("Paused", "True", "ScaledObjectPaused", "")
    ]));
    assert_eq!(reason, Reason::ScalingDisabled);
    let (_, reason, message) = keda(json!([condition("Ready", "Unknown", "", "")]));
    assert_eq!(reason, Reason::HandingOver);
    assert!(message.contains("whether its operator runs"), "{message}");
}

#[test]
fn the_condition_repeats_what_kubernetes_says() {
    let able = condition("AbleToScale", "True", "ReadyForNewScale", "");
    let hpa = |conditions: Value| {
        said(
            &ledger("HPA"),
            &json!({"desiredReplicas": 1, "conditions": conditions}),
        )
    };
    assert_eq!(
        hpa(json!([
            able,
            condition("ScalingActive", "True", "ValidMetricFound", "")
        ])),
        (
            "True",
            Reason::Active,
            "ledger-projector 1 to 8 by lag, HPA".to_owned()
        )
    );
    let failed = condition(
        "ScalingActive",
        "False",
        "FailedGetExternalMetric",
        "no metrics returned",
    );
    let (status, reason, message) = hpa(json!([able, failed]));
    assert_eq!((status, reason), ("False", Reason::MetricUnavailable));
    assert!(
        message.contains("FailedGetExternalMetric: no metrics returned"),
        "{message}"
    );
    let (_, reason, _) = hpa(json!([
        able,
        condition("ScalingActive", "False", "ScalingDisabled", "")
    ]));
    assert_eq!(reason, Reason::ScalingDisabled);
    let (_, reason, _) = hpa(json!([]));
    assert_eq!(reason, Reason::HandingOver);
}

#[test]
fn a_projector_that_asks_for_more_pods_than_there_are_partitions_is_told() {
    let mut fewer = ledger("KEDA");
    fewer.status =
        Some(serde_json::from_value(json!({"schema": {"job": "j", "image": "i", "partitions": 4}})).unwrap());
    let ready = condition("Ready", "True", "ScaledObjectReady", "");
    let (status, reason, message) = said(&fewer, &json!({"conditions": [ready]}));
    assert_eq!((status, reason), ("True", Reason::Capped));
    assert!(
        message.contains("asks for 8 pods at most and gets 4"),
        "{message}"
    );
}
