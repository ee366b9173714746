//! A foreign autoscaler of a component: it controls the number of pods, and is reported until it is gone.

use serde_json::{Value, json};
use wallex_crd::names::MANAGER;
use wallex_operator::reconcile::conditions::{Reason, types};

use super::server::World;
use super::{demo, once, until_ready, world};

const QUERY: &str = "demo-query";
const AUTOSCALERS: &str = "horizontalpodautoscalers";

/// What `kubectl autoscale deploy/demo-query --min=2` creates: an object named like the Deployment, without labels.
fn autoscale(world: &World, name: &str, api_version: &str, owner: Option<&str>) {
    let owners: Vec<Value> = owner
        .map(|owner| json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": owner, "uid": "x", "controller": true}))
        .into_iter()
        .collect();
    let object = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": "shop", "uid": "foreign", "ownerReferences": owners},
        "spec": {
            "scaleTargetRef": {"apiVersion": api_version, "kind": "Deployment", "name": QUERY},
            "minReplicas": 2, "maxReplicas": 5,
        },
    });
    let path = format!("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/{name}");
    world.state().put(&path, object);
}

#[tokio::test]
async fn somebody_elses_autoscaler_gets_the_number_of_pods_and_is_named_until_it_is_gone() {
    for (name, api_version, owner, named) in [
        (QUERY, "apps/v1", None, "HorizontalPodAutoscaler demo-query"),
        (
            "theirs",
            "extensions/v1beta1",
            None,
            "HorizontalPodAutoscaler theirs",
        ),
        ("keda-hpa-x", "apps/v1", Some("x"), "ScaledObject x"),
    ] {
        let world = world();
        until_ready(&world).await;
        world.scaled(QUERY);
        autoscale(&world, name, api_version, owner);
        // It acts before the operator.
        world.scale(QUERY, 2);
        once(&world).await;
        let (_, reason, message) = world.condition("shop", "demo", types::AUTOSCALING_ACTIVE);
        assert_eq!(reason, Reason::ForeignAutoscaler.as_str());
        assert!(
            message.contains(named) && message.starts_with("query: "),
            "{message}"
        );
        assert!(world.is_ready("shop", "demo"), "the pods that there are serve on");
        for number in [4, 3, 5] {
            world.scale(QUERY, number);
            once(&world).await;
            assert_eq!(world.replicas(QUERY), number);
        }
        let by_operator: Vec<_> = world
            .scaled(QUERY)
            .into_iter()
            .filter(|(_, by)| by == MANAGER)
            .collect();
        assert_eq!(by_operator, [], "{name}");
        world.written();
        once(&world).await;
        assert_eq!(world.written(), Vec::<String>::new());

        world.delete_autoscaler(AUTOSCALERS, name);
        until_ready(&world).await;
        assert_eq!(
            (world.replicas(QUERY), world.owners(QUERY)),
            (1, vec![MANAGER.to_owned()])
        );
        assert_eq!(demo(&world, types::AUTOSCALING_ACTIVE).0, "");
    }
}

#[tokio::test]
async fn an_autoscaler_of_the_spec_makes_way_for_somebody_elses_and_comes_back() {
    let world = world();
    world.change("shop", "demo", |platform| {
        platform["spec"]["query"] = json!({"autoscaling": {"maxReplicas": 4}});
    });
    until_ready(&world).await;
    assert!(world.autoscaler(AUTOSCALERS, QUERY).is_some());
    autoscale(&world, "theirs", "apps/v1", None);
    world.scale(QUERY, 3);
    for _ in 0..3 {
        once(&world).await;
    }
    assert!(
        world.autoscaler(AUTOSCALERS, QUERY).is_none(),
        "two of them would both stop"
    );
    assert_eq!(world.replicas(QUERY), 3);
    world.delete_autoscaler(AUTOSCALERS, "theirs");
    for _ in 0..3 {
        once(&world).await;
    }
    assert!(world.autoscaler(AUTOSCALERS, QUERY).is_some());
    assert_eq!(world.replicas(QUERY), 3);
}

#[tokio::test]
async fn a_platform_with_somebody_elses_autoscaler_is_suspended_and_resumed() {
    let world = world();
    until_ready(&world).await;
    autoscale(&world, "theirs", "apps/v1", None);
    world.scale(QUERY, 4);
    once(&world).await;
    let suspended = |wish: bool| {
        world.change("shop", "demo", |platform| {
            platform["spec"]["suspended"] = json!(wish);
        });
    };
    suspended(true);
    for _ in 0..6 {
        once(&world).await;
    }
    assert_eq!(world.replicas(QUERY), 0);
    suspended(false);
    until_ready(&world).await;
    assert_eq!(
        world.replicas(QUERY),
        2,
        "the least that it allows, since it does nothing from 0"
    );
}

#[tokio::test]
async fn an_autoscaler_of_another_deployment_is_nobodys_business() {
    let world = world();
    until_ready(&world).await;
    autoscale(&world, "theirs", "apps/v1", None);
    world.change_autoscaler(AUTOSCALERS, "theirs", |object| {
        object["spec"]["scaleTargetRef"]["name"] = json!("demo-query-2");
    });
    world.written();
    once(&world).await;
    assert_eq!(world.written(), Vec::<String>::new());
}
