//! CA certificates in a ConfigMap that others create: waited for, followed, and named while missing.

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use wallex_crd::names;
use wallex_operator::reconcile::conditions::{Reason, types};

use super::server::World;
use super::{demo, expected, once, until_ready, world};

const TRUST: &str = "/api/v1/namespaces/shop/configmaps/trust";
const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// A platform with PostgreSQL's CA in a ConfigMap.
fn trusting() -> World {
    let world = world();
    world.change("shop", "demo", |platform| {
        platform["spec"]["database"]["caConfigMapRef"] = json!({"name": "trust", "key": "ca-bundle.crt"});
    });
    world
}

fn put(world: &World, values: &Value) {
    let mut map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust", "namespace": "shop"}});
    for (field, value) in values.as_object().unwrap() {
        map[field] = value.clone();
    }
    world.state().put(TRUST, map);
}

fn rolled(world: &World) -> Value {
    let path = "/apis/apps/v1/namespaces/shop/deployments/demo-command";
    world.state().objects[path]["spec"]["template"]["metadata"]["annotations"][names::SECRET_HASH].clone()
}

#[tokio::test]
async fn a_config_map_that_is_made_later_is_waited_for_and_named_until_it_is_as_it_should_be() {
    let world = trusting();
    for (values, reason, stalled) in [
        (None, Reason::ConfigMapNotFound, false),
        (
            Some(json!({"data": {"ca.crt": PEM}})),
            Reason::ConfigMapKeyMissing,
            false,
        ),
        (
            Some(json!({"data": {"ca-bundle.crt": "soon"}})),
            Reason::ConfigMapInvalid,
            true,
        ),
    ] {
        if let Some(values) = &values {
            put(&world, values);
        }
        once(&world).await;
        assert_eq!(demo(&world, types::READY), expected("False", reason));
        let (_, _, message) = world.condition("shop", "demo", types::READY);
        assert!(message.contains("ConfigMap shop/trust"), "{message}");
        let status = world.platform("shop", "demo").unwrap()["status"].to_string();
        assert_eq!(status.contains("\"Stalled\""), stalled, "{reason:?}: {status}");
    }
    put(&world, &json!({"data": {"ca-bundle.crt": PEM}}));
    until_ready(&world).await;
}

#[tokio::test]
async fn a_bundle_that_changes_rolls_the_pods_and_one_that_goes_leaves_them() {
    let world = trusting();
    put(&world, &json!({"data": {"ca-bundle.crt": PEM}}));
    until_ready(&world).await;
    let first = rolled(&world);
    let more = format!("{PEM}\n{PEM}");
    put(&world, &json!({"data": {"ca-bundle.crt": more}}));
    until_ready(&world).await;
    let second = rolled(&world);
    assert_ne!(first, second);
    // The same bytes in the ConfigMap's other data field.
    put(
        &world,
        &json!({"binaryData": {"ca-bundle.crt": ByteString(more.into_bytes())}}),
    );
    until_ready(&world).await;
    assert_eq!(rolled(&world), second);

    world.state().objects.remove(TRUST);
    once(&world).await;
    assert_eq!(
        demo(&world, types::READY),
        expected("False", Reason::ConfigMapNotFound)
    );
    assert_eq!(rolled(&world), second, "what runs goes on");
}
