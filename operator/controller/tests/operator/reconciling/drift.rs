//! Manual edits of a platform's children, and what happens to them.

use serde_json::{Value, json};
use wallex_operator::reconcile::conditions::{Reason, types};
use wallex_operator::scope::Scope;

use super::server::World;
use super::{expected, once, run, until_ready, world};

const QUERY: &str = "/apis/apps/v1/namespaces/shop/deployments/demo-query";
const COMMAND: &str = "/apis/apps/v1/namespaces/shop/deployments/demo-command";

#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better in place")]
fn container(fields: Value) -> Value {
    template(json!({"f:spec": {"f:containers": {"k:{\"name\":\"wallex\"}": fields}}}))
}

#[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better in place")]
fn template(fields: Value) -> Value {
    json!({"f:spec": {"f:template": fields}})
}

fn wallex(object: &mut Value) -> &mut Value {
    &mut object["spec"]["template"]["spec"]["containers"][0]
}

/// `kubectl set env deploy/demo-query NAME=VALUE`
fn set_env(world: &World, path: &str, name: &str, value: &str) {
    let key = format!("k:{{\"name\":\"{name}\"}}");
    let fields = container(json!({"f:env": {key: {".": {}, "f:name": {}, "f:value": {}}}}));
    world.edit(path, "kubectl-set", fields, |object| {
        let env = wallex(object)["env"].as_array_mut().unwrap();
        env.retain(|variable| variable["name"] != name);
        env.push(json!({"name": name, "value": value}));
    });
}

fn env(world: &World, path: &str) -> Value {
    let mut object = world.object(path);
    let mut env = wallex(&mut object)["env"].take();
    env.as_array_mut()
        .unwrap()
        .sort_by_key(|variable| variable["name"].to_string());
    env
}

async fn ready() -> World {
    let world = world();
    until_ready(&world).await;
    world.written();
    world
}

/// One reconcile restores everything, the next one writes nothing, and the Event names who did what.
async fn is_put_back(world: &World, path: &str, before: &Value, said: &[&str]) {
    until_ready(world).await;
    let spec = |object: &Value| (object["spec"].clone(), object["data"].clone());
    assert_eq!(spec(&world.object(path)), spec(before));
    let notes = world.notes(Reason::HandEditPutBack.as_str()).join("\n");
    for said in said {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    world.written();
    once(world).await;
    assert_eq!(world.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_variable_that_somebody_sets_beside_a_reference_to_a_secret_is_put_back_and_told() {
    let world = ready().await;
    let before = env(&world, QUERY);
    set_env(&world, QUERY, "WALLEX_DATABASE_URL", "postgres://elsewhere");
    until_ready(&world).await;
    assert_eq!(env(&world, QUERY), before);
    let notes = world.notes(Reason::HandEditPutBack.as_str());
    assert!(
        notes[0].starts_with("Deployment demo-query was changed by hand and has been changed back: ")
            && notes[0].contains("env[WALLEX_DATABASE_URL].value (by kubectl-set)"),
        "{notes:?}"
    );
}

#[tokio::test]
async fn variables_that_the_manifest_does_not_have_are_put_back() {
    let world = ready().await;
    let before = env(&world, QUERY);
    set_env(&world, QUERY, "WALLEX_IDEMPOTENCY_RETENTION_HOURS", "1");
    set_env(&world, QUERY, "WALLEX_KAFKA_EVENTS_TOPIC", "elsewhere");
    until_ready(&world).await;
    assert_eq!(env(&world, QUERY), before);
    let notes = world.notes(Reason::HandEditPutBack.as_str()).join("\n");
    assert!(
        notes.contains("WALLEX_IDEMPOTENCY_RETENTION_HOURS") && notes.contains("WALLEX_KAFKA_EVENTS_TOPIC")
    );
}

#[tokio::test]
async fn a_second_value_of_a_variable_that_is_stated_is_put_back() {
    let world = ready().await;
    let before = world.object(QUERY);
    let fields = container(json!({"f:env": {"k:{\"name\":\"WALLEX_INSTANCE\"}": {"f:value": {}}}}));
    world.edit(QUERY, "kubectl-patch", fields, |object| {
        wallex(object)["env"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "WALLEX_INSTANCE", "value": "elsewhere"}));
    });
    is_put_back(&world, QUERY, &before, &["env[WALLEX_INSTANCE]"]).await;
}

#[tokio::test]
async fn command_probes_image_mounts_and_the_pods_own_settings_are_put_back() {
    let world = ready().await;
    let before = world.object(QUERY);
    let fields = container(json!({
        "f:command": {}, "f:image": {}, "f:livenessProbe": {"f:exec": {}},
        "f:volumeMounts": {"k:{\"mountPath\":\"/x\"}": {".": {}, "f:mountPath": {}, "f:name": {}}},
    }));
    world.edit(QUERY, "kubectl-edit", fields, |object| {
        let container = wallex(object);
        container["command"] = json!(["sh"]);
        container["image"] = json!("elsewhere:1");
        container["livenessProbe"]["exec"] = json!({"command": ["true"]});
        container["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "x", "mountPath": "/x"}));
    });
    let fields = template(json!({"f:spec": {
        "f:hostNetwork": {}, "f:volumes": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:secret": {}}},
    }}));
    world.edit(QUERY, "kubectl-edit", fields, |object| {
        let spec = &mut object["spec"]["template"]["spec"];
        spec["hostNetwork"] = json!(true);
        spec["volumes"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "x", "secret": {"secretName": "nowhere"}}));
    });
    world.edit(
        QUERY,
        "kubectl-rollout",
        json!({"f:spec": {"f:paused": {}}}),
        |object| {
            object["spec"]["paused"] = json!(true);
        },
    );
    is_put_back(
        &world,
        QUERY,
        &before,
        &[
            "containers[wallex].command (by kubectl-edit)",
            "spec.paused (by kubectl-rollout)",
        ],
    )
    .await;
}

/// The API server fills in the probe's scheme again, under the operator's name.
#[tokio::test]
async fn what_an_api_server_fills_in_after_a_put_back_is_not_fought_over() {
    let world = ready().await;
    let before = world.object(QUERY);
    let fields = container(json!({"f:livenessProbe": {"f:exec": {"f:command": {}}}}));
    world.edit(QUERY, "kubectl-patch", fields, |object| {
        let probe = &mut wallex(object)["livenessProbe"];
        probe.as_object_mut().unwrap().remove("httpGet");
        probe["exec"] = json!({"command": ["true"]});
    });
    for _ in 0..2 {
        once(&world).await;
    }
    assert_eq!(world.object(QUERY)["spec"], before["spec"]);
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());
    assert!(
        !world
            .condition("shop", "demo", types::READY)
            .2
            .contains("repeatedly")
    );
}

#[tokio::test]
async fn a_value_of_the_manifest_that_was_changed_is_put_back_and_named() {
    let world = ready().await;
    let before = world.object(QUERY);
    world.edit(
        QUERY,
        "kubectl-set",
        container(json!({"f:image": {}})),
        |object| {
            wallex(object)["image"] = json!("elsewhere:1");
        },
    );
    is_put_back(
        &world,
        QUERY,
        &before,
        &[
            "Deployment demo-query",
            "containers[wallex].image (by kubectl-set)",
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_selectors_and_the_maintenance_are_put_back() {
    let world = ready().await;
    let config = "/api/v1/namespaces/shop/configmaps/demo-config";
    let service = "/api/v1/namespaces/shop/services/demo-query";
    let maintain = "/apis/batch/v1/namespaces/shop/cronjobs/demo-maintain";
    let before = [config, service, maintain].map(|path| world.object(path));
    let fields = json!({"f:data": {"f:WALLEX_IDEMPOTENCY_RETENTION_HOURS": {}}});
    world.edit(config, "kubectl-edit", fields, |object| {
        object["data"]["WALLEX_IDEMPOTENCY_RETENTION_HOURS"] = json!("1");
    });
    world.edit(
        service,
        "kubectl-patch",
        json!({"f:spec": {"f:selector": {}}}),
        |object| {
            object["spec"]["selector"]["track"] = json!("canary");
        },
    );
    world.edit(
        maintain,
        "kubectl-patch",
        json!({"f:spec": {"f:suspend": {}}}),
        |object| {
            object["spec"]["suspend"] = json!(true);
        },
    );
    is_put_back(
        &world,
        config,
        &before[0],
        &["ConfigMap demo-config", "data.WALLEX_IDEMPOTENCY"],
    )
    .await;
    is_put_back(
        &world,
        service,
        &before[1],
        &["Service demo-query", "spec.selector.track"],
    )
    .await;
    is_put_back(
        &world,
        maintain,
        &before[2],
        &["CronJob demo-maintain", "spec.suspend"],
    )
    .await;
}

#[tokio::test]
async fn whoever_writes_the_same_child_in_turns_is_put_back_so_often_and_then_named() {
    let world = ready().await;
    let operator = world.operator(vec![Scope::All]);
    for _ in 0..8 {
        set_env(&world, QUERY, "WALLEX_LOG", "trace");
        run(&operator, "shop", "demo").await;
    }
    let written = world.written();
    let patches = written
        .iter()
        .filter(|write| write.contains("deployments/demo-query"))
        .count();
    assert_eq!(
        patches, 6,
        "three times, by a patch and an apply each: {written:?}"
    );
    let (_, reason, message) = world.condition("shop", "demo", types::DEGRADED);
    assert_eq!(reason, Reason::ForeignEdits.as_str());
    assert!(
        message.contains("env[WALLEX_LOG]") && message.contains("kubectl-set"),
        "{message}"
    );

    // A new manifest is still written, and other components are not blocked.
    world.change("shop", "demo", |platform| {
        platform["spec"]["image"] = json!("wallex:2");
    });
    for _ in 0..3 {
        run(&operator, "shop", "demo").await;
    }
    assert_eq!(wallex(&mut world.object(QUERY))["image"], "wallex:2");
    assert_eq!(
        wallex(&mut world.object("/apis/apps/v1/namespaces/shop/deployments/demo-publisher"))["image"],
        "wallex:2"
    );
}

#[tokio::test]
async fn settings_that_somebody_sealed_are_made_anew() {
    let world = ready().await;
    let config = "/api/v1/namespaces/shop/configmaps/demo-config";
    world.edit(config, "kubectl-patch", json!({"f:immutable": {}}), |object| {
        object["immutable"] = json!(true);
    });
    world.change("shop", "demo", |platform| {
        platform["spec"]["logging"] = json!({"level": "debug"});
    });
    until_ready(&world).await;
    let made = world.object(config);
    assert_eq!(
        (&made["immutable"], &made["data"]["WALLEX_LOG"]),
        (&Value::Null, &json!("debug,request=warn"))
    );
    assert!(world.written().contains(&format!("DELETE {config}")));
}

#[tokio::test]
async fn a_migration_that_somebody_suspended_goes_on() {
    let world = world();
    world.state().job_status = Some(json!({"active": 1}));
    once(&world).await;
    let path = {
        let state = world.state();
        state
            .objects
            .keys()
            .find(|path| path.contains("/jobs/"))
            .cloned()
            .unwrap()
    };
    let before = world.object(&path);
    world.edit(
        &path,
        "kubectl-patch",
        json!({"f:spec": {"f:suspend": {}}}),
        |object| {
            object["spec"]["suspend"] = json!(true);
        },
    );
    once(&world).await;
    assert_eq!(world.object(&path)["spec"], before["spec"]);
    let notes = world.notes(Reason::HandEditPutBack.as_str());
    assert!(notes[0].contains("spec.suspend (by kubectl-patch)"), "{notes:?}");
}

#[tokio::test]
async fn a_sidecar_with_its_volume_and_marks_of_others_stay_and_are_told() {
    let world = ready().await;
    let fields = template(json!({
        "f:metadata": {"f:annotations": {"f:mesh": {}, "f:kubectl.kubernetes.io/restartedAt": {}}, "f:labels": {"f:team": {}}},
        "f:spec": {
            "f:containers": {"k:{\"name\":\"proxy\"}": {".": {}, "f:name": {}, "f:image": {}, "f:volumeMounts": {}}},
            "f:initContainers": {".": {}, "k:{\"name\":\"setup\"}": {".": {}, "f:name": {}}},
            "f:volumes": {"k:{\"name\":\"certs\"}": {".": {}, "f:name": {}}},
        },
    }));
    world.edit(QUERY, "mesh", fields, |object| {
        let template = &mut object["spec"]["template"];
        template["metadata"]["annotations"]["mesh"] = json!("on");
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!("now");
        template["metadata"]["labels"]["team"] = json!("a");
        let spec = &mut template["spec"];
        let proxy =
            json!({"name": "proxy", "image": "p", "volumeMounts": [{"name": "certs", "mountPath": "/c"}]});
        spec["containers"].as_array_mut().unwrap().push(proxy);
        spec["initContainers"] = json!([{"name": "setup", "image": "s"}]);
        spec["volumes"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "certs", "emptyDir": {}}));
    });
    let edited = world.object(QUERY);
    until_ready(&world).await;
    let (_, _, message) = world.condition("shop", "demo", types::READY);
    for told in [
        "containers[proxy] (by mesh)",
        "annotations.mesh",
        "Deployment demo-query",
        "more",
    ] {
        assert!(message.contains(told), "{told}: {message}");
    }
    assert!(!message.contains("restartedAt"), "{message}");
    assert_eq!(world.object(QUERY)["spec"], edited["spec"]);
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());

    // A change to the platform still reaches the pods, and the sidecar stays.
    world.change("shop", "demo", |platform| {
        platform["spec"]["image"] = json!("wallex:2");
    });
    until_ready(&world).await;
    let mut after = world.object(QUERY);
    assert_eq!(wallex(&mut after)["image"], "wallex:2");
    assert_eq!(
        after["spec"]["template"]["spec"]["containers"][1]["name"],
        "proxy"
    );
}

#[tokio::test]
async fn a_paused_platform_says_what_was_changed_and_leaves_it() {
    let world = ready().await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["paused"] = json!(true);
    });
    set_env(&world, QUERY, "WALLEX_DATABASE_URL", "postgres://elsewhere");
    once(&world).await;
    let (_, reason, message) = world.condition("shop", "demo", types::READY);
    assert_eq!(reason, Reason::Paused.as_str());
    assert!(
        message.contains("Deployment demo-query was changed by hand")
            && message.contains("WALLEX_DATABASE_URL"),
        "{message}"
    );
    assert!(!message.contains("elsewhere"), "values may be secret: {message}");
}

#[tokio::test]
async fn a_component_that_cannot_be_written_holds_up_no_other_but_a_new_image_of_the_command() {
    let world = ready().await;
    let words =
        "Deployment.apps \"demo-query\" is invalid: spec.template.spec.containers[0].image: Invalid value";
    world
        .state()
        .invalid
        .insert("deployments/demo-query".to_owned(), words.to_owned());
    world.change("shop", "demo", |platform| {
        platform["spec"]["publisher"] = json!({"replicas": 3});
        platform["spec"]["query"] = json!({"replicas": 2});
        platform["spec"]["command"] = json!({"replicas": 4});
        platform["spec"]["monitoring"] = json!({"dashboards": {"enabled": true}});
    });
    once(&world).await;
    assert_eq!(
        (world.replicas("demo-publisher"), world.replicas("demo-command")),
        (3, 4)
    );
    assert!(
        world
            .state()
            .objects
            .contains_key("/api/v1/namespaces/shop/configmaps/demo-dashboards")
    );
    let (status, reason, message) = world.condition("shop", "demo", types::STALLED);
    assert_eq!((status, reason), expected("True", Reason::ManifestInvalid));
    assert!(message.contains("containers[0].image"), "{message}");

    world.change("shop", "demo", |platform| {
        platform["spec"]["image"] = json!("wallex:2");
    });
    for _ in 0..3 {
        once(&world).await;
    }
    let image = |path: &str| wallex(&mut world.object(path))["image"].clone();
    assert_eq!(image(COMMAND), "wallex:1", "a reader still runs the old image");
    world.state().invalid.clear();
    until_ready(&world).await;
    assert_eq!(
        (image(QUERY), image(COMMAND)),
        (json!("wallex:2"), json!("wallex:2"))
    );
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_no_stall() {
    let world = ready().await;
    world.change("shop", "demo", |platform| {
        platform["spec"]["query"] = json!({"replicas": 2});
    });
    world.state().writes_left = Some(0);
    once(&world).await;
    world.state().writes_left = None;
    until_ready(&world).await;
    assert_eq!(world.replicas("demo-query"), 2);
}
