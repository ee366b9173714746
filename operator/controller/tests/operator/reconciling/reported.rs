//! What the status reports about lag and schema, as read from the platform itself.

use std::time::Duration;

use serde_json::{Value, json};
use wallex_crd::names;
use wallex_operator::reconcile::conditions::{Reason, types};
use wallex_operator::scope::Scope;

use super::history::succeeded;
use super::server::{self, World};
use super::{demo, expected, once, run, until_ready, world};

const QUERY: &str = "demo-query.shop.svc:8080";

fn lag_of(world: &World) -> (Value, Value) {
    let status = world.platform("shop", "demo").unwrap()["status"].clone();
    (status["lag"].clone(), status["projections"].clone())
}

#[tokio::test(start_paused = true)]
async fn the_lag_is_written_when_it_changed_and_never_twice_in_thirty_seconds() {
    let world = world();
    until_ready(&world).await;
    assert_eq!(lag_of(&world).0, json!(0));
    let current = |world: &World| demo(world, types::PROJECTIONS_CURRENT);
    assert_eq!(current(&world), expected("True", Reason::Current));
    world.written();

    let operator = world.operator(vec![Scope::All]);
    run(&operator, "shop", "demo").await;
    world
        .state()
        .lags
        .insert(QUERY.to_owned(), Ok(server::lag(1250, 95.4)));
    run(&operator, "shop", "demo").await;
    assert_eq!(world.written(), Vec::<String>::new(), "within 30 s");

    tokio::time::advance(Duration::from_secs(30)).await;
    run(&operator, "shop", "demo").await;
    let row = |name: &str| json!({"name": name, "lagEvents": 1250, "lagSeconds": 95});
    assert_eq!(
        lag_of(&world),
        (json!(1250), json!([row("ledger"), row("read-model")]))
    );
    assert_eq!(current(&world), expected("False", Reason::Lagging));
    assert_eq!(world.written().len(), 1, "the status alone");
    // It catches up on its own, and serves meanwhile.
    assert!(world.is_ready("shop", "demo"));

    tokio::time::advance(Duration::from_secs(30)).await;
    run(&operator, "shop", "demo").await;
    assert_eq!(world.written(), Vec::<String>::new(), "the same figures");
}

#[tokio::test(start_paused = true)]
async fn a_lag_that_can_no_longer_be_read_leaves_no_figure() {
    let world = world();
    until_ready(&world).await;
    let operator = world.operator(vec![Scope::All]);
    for role in ["demo-query", "demo-command"] {
        let address = format!("{role}.shop.svc:8080");
        world.state().lags.insert(address, Err("refused".to_owned()));
    }
    run(&operator, "shop", "demo").await;
    assert_eq!(lag_of(&world), (Value::Null, Value::Null));
    let (status, reason, message) = world.condition("shop", "demo", types::PROJECTIONS_CURRENT);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("Unknown", Reason::LagUnknown.as_str())
    );
    assert_eq!(message, "query: refused; command: refused");
    assert!(world.is_ready("shop", "demo"));
}

/// The name of the only migration Job.
fn migration(world: &World) -> String {
    let state = world.state();
    let jobs = state.objects.keys().filter_map(|path| path.split_once("/jobs/"));
    jobs.map(|(_, name)| name.to_owned()).next().unwrap()
}

#[tokio::test]
async fn the_versions_that_the_migration_reached_are_read_once_and_remembered() {
    let reached = |schemas: Value, partitions: i32| {
        let mut words = json!({
            "result": "migrated", "partitions": partitions, "journal_id": 1, "events": 0, "schemas": schemas,
        });
        words.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        words.to_string()
    };
    let all = json!({"journal": 2, "ledger": 1, "read_model": 3, "of_a_newer_image": 4});
    let versions = json!({"journal": 2, "ledger": 1, "readModel": 3});
    for (words, version, partitions) in [
        (reached(all.clone(), 12), versions.clone(), 12),
        // No journal has that many.
        (reached(all, 1000), versions, 256),
        (reached(json!({"journal": 2, "ledger": 1}), 10), Value::Null, 10),
        // From older images.
        (reached(Value::Null, 12), Value::Null, 12),
        (String::new(), Value::Null, 10),
        (
            "the database is ready journal=2 ledger=1 read_model=3".to_owned(),
            Value::Null,
            10,
        ),
    ] {
        let world = world();
        once(&world).await;
        let mut labels = names::labels("demo", Some("migrate"));
        labels.insert("batch.kubernetes.io/job-name".to_owned(), migration(&world));
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "status": succeeded(&words), "metadata": {
            "name": "migrate-1", "namespace": "shop", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z",
        }});
        let path = "/api/v1/namespaces/shop/pods/migrate-1";
        world.state().put(path, pod);
        until_ready(&world).await;
        let schema = || world.platform("shop", "demo").unwrap()["status"]["schema"].clone();
        assert_eq!(schema()["version"], version, "{words}");
        assert_eq!(schema()["partitions"], partitions, "{words}");

        // The pod and its message eventually disappear; what was read stays.
        world.state().objects.remove(path);
        once(&world).await;
        assert_eq!(schema()["version"], version, "{words}");
    }
}
