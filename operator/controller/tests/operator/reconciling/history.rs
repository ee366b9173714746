//! What a platform has written is remembered: no database without it is accepted, and a missing schema is noticed and migrated.

use serde_json::{Value, json};
use wallex_crd::names;
use wallex_operator::reconcile::conditions::{Reason, types};
use wallex_operator::scope::Scope;

use super::server::World;
use super::{demo, expected, once, run, until_ready, world};

fn jobs(world: &World) -> Vec<String> {
    let state = world.state();
    let jobs = state.objects.keys().filter_map(|path| path.split_once("/jobs/"));
    jobs.map(|(_, name)| name.to_owned()).collect()
}

/// The status of a migration pod that succeeded with these words.
pub(super) fn succeeded(words: &str) -> Value {
    json!({"phase": "Succeeded", "containerStatuses": [{
        "name": "wallex", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "message": words}},
    }]})
}

/// A pod of the only migration not in `before`, in this phase and with these words.
fn migrated(world: &World, before: &[String], phase: &str, words: &str) {
    let job = jobs(world).into_iter().find(|job| !before.contains(job)).unwrap();
    let mut labels = names::labels("demo", Some("migrate"));
    labels.insert("batch.kubernetes.io/job-name".to_owned(), job.clone());
    let mut status = succeeded(words);
    status["phase"] = phase.into();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "status": status, "metadata": {
        "name": job, "namespace": "shop", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z",
    }});
    let path = format!("/api/v1/namespaces/shop/pods/{job}");
    world.state().put(&path, pod);
}

fn ready(journal: &str, events: i64) -> String {
    json!({
        "result": "migrated", "partitions": 10, "events": events, "journal_id": journal.parse::<i64>().unwrap(),
        "schemas": {"journal": 2, "ledger": 1, "read_model": 2},
    })
    .to_string()
}

/// A ready platform with a journal of this many events.
async fn with_journal(journal: &str, events: i64) -> World {
    let world = world();
    once(&world).await;
    migrated(&world, &[], "Succeeded", &ready(journal, events));
    until_ready(&world).await;
    world
}

fn journal(world: &World) -> Value {
    world.platform("shop", "demo").unwrap()["status"]["journal"].clone()
}

fn database(world: &World, url: &str) {
    let path = "/api/v1/namespaces/shop/secrets/database";
    let mut secret = world.state().objects[path].clone();
    secret["data"] = json!({});
    secret["data"]["url"] = json!(k8s_openapi::ByteString(url.as_bytes().to_vec()));
    world.state().put(path, secret);
}

/// What a migration is told about the expected journal: events and id.
fn told(world: &World, job: &str) -> [Value; 2] {
    let path = format!("/apis/batch/v1/namespaces/shop/jobs/{job}");
    let job = world.state().objects[&path].clone();
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    [names::EXPECT_EVENTS, names::EXPECT_JOURNAL].map(|name| {
        let mut variables = env.as_array().unwrap().iter();
        let variable = variables.find(|variable| variable["name"] == name);
        variable
            .map(|variable| variable["value"].clone())
            .unwrap_or_default()
    })
}

fn command(world: &World) -> Value {
    let path = "/apis/apps/v1/namespaces/shop/deployments/demo-command";
    world.state().objects[path]["spec"].clone()
}

#[tokio::test]
async fn a_database_that_lacks_what_was_written_stalls_the_platform_and_reaches_no_pod() {
    let world = with_journal("1700000000000001", 40).await;
    assert_eq!(journal(&world), json!({"id": "1700000000000001", "events": 40}));
    let (before, had) = (command(&world), jobs(&world));
    let failing = json!({"active": 1, "failed": 1});
    world.state().job_status = Some(failing);
    database(&world, "postgres://u:p@db/empty");
    once(&world).await;
    let job = jobs(&world).into_iter().find(|job| !had.contains(job)).unwrap();
    assert_eq!(told(&world, &job), [json!("40"), json!("1700000000000001")]);

    let message = "JournalRewound: this platform has written 40 events or more";
    let words = json!({"result": "failed", "code": "JournalRewound", "message": message});
    migrated(&world, &had, "Failed", &words.to_string());
    once(&world).await;
    for type_ in [types::DEGRADED, types::STALLED] {
        assert_eq!(demo(&world, type_), expected("True", Reason::JournalRewound));
    }
    assert_eq!(
        demo(&world, types::READY),
        expected("False", Reason::JournalRewound)
    );
    let (_, _, message) = world.condition("shop", "demo", types::SCHEMA_READY);
    assert!(
        message.contains("wallex.dev/accept-journal-loss=1700000000000001"),
        "{message}"
    );
    assert!(
        world
            .events()
            .contains(&Reason::JournalRewound.as_str().to_owned())
    );
    assert_eq!(command(&world), before);

    // Back to the right database: ready at once, without a migration.
    database(&world, "postgres://u:p@db/x");
    once(&world).await;
    assert!(world.is_ready("shop", "demo"));
}

#[tokio::test]
async fn a_journal_that_a_person_gives_up_by_its_id_is_given_up_once() {
    let world = with_journal("1700000000000001", 40).await;
    let had = jobs(&world);
    world.state().job_status = Some(json!({"active": 1, "failed": 1}));
    database(&world, "postgres://u:p@db/empty");
    once(&world).await;
    let accept = |journal: &str| {
        world.change("shop", "demo", |platform| {
            platform["metadata"]["annotations"] = json!({names::ACCEPT_JOURNAL_LOSS: journal});
        });
    };
    let new = || jobs(&world).into_iter().find(|job| !had.contains(job)).unwrap();
    let (job, expectant) = (new(), |job: &str| told(&world, job)[0] != Value::Null);
    for wrong in ["true", "1700000000000002", ""] {
        accept(wrong);
        once(&world).await;
        assert!(expectant(&job), "{wrong}");
    }
    accept("1700000000000001");
    world.state().job_status = None;
    // The refusing one is replaced by one that does not refuse.
    for _ in 0..2 {
        once(&world).await;
    }
    assert!(!expectant(&job));
    migrated(&world, &had, "Succeeded", &ready("1700000000000002", 0));
    until_ready(&world).await;
    assert_eq!(journal(&world), json!({"id": "1700000000000002", "events": 0}));
}

#[tokio::test]
async fn a_migration_that_somebody_suspended_goes_on_though_the_journal_has_grown_since_it_was_made() {
    let world = with_journal("1700000000000001", 40).await;
    let had = jobs(&world);
    world.state().job_status = Some(json!({"active": 1}));
    database(&world, "postgres://u:p@db/other");
    once(&world).await;
    let job = jobs(&world).into_iter().find(|job| !had.contains(job)).unwrap();
    let path = format!("/apis/batch/v1/namespaces/shop/jobs/{job}");
    let before = world.object(&path);
    world.change("shop", "demo", |platform| {
        platform["status"]["journal"]["events"] = json!(60);
    });
    let suspended = json!({"f:spec": {"f:suspend": {}}});
    world.edit(&path, "kubectl-patch", suspended, |object| {
        object["spec"]["suspend"] = json!(true);
    });
    once(&world).await;
    assert_eq!(world.object(&path)["spec"], before["spec"]);
    assert_eq!(told(&world, &job)[0], json!("40"));
    let notes = world.notes(Reason::HandEditPutBack.as_str());
    assert!(
        notes[0].contains("spec.suspend (by kubectl-patch)") && !notes[0].contains(names::EXPECT_EVENTS),
        "{notes:?}"
    );
}

#[tokio::test]
async fn a_platform_that_has_written_nothing_may_have_any_database() {
    let world = with_journal("1700000000000001", 0).await;
    database(&world, "postgres://u:p@db/empty");
    until_ready(&world).await;
}

#[tokio::test]
async fn what_was_written_is_learned_from_the_reading_of_the_lag_and_written_down_once_a_minute() {
    let world = with_journal("1700000000000001", 0).await;
    let seen = |events: i64| {
        let partitions = json!([{"partition": 0, "published": events, "applied": 0}]);
        let row = json!({"name": "ledger", "lag_events": 0, "lag_seconds": 0.0, "partitions": partitions});
        let answer = (
            http::StatusCode::OK,
            json!({"projections": [row]}).to_string().into_bytes(),
        );
        world
            .state()
            .lags
            .insert("demo-query.shop.svc:8080".to_owned(), Ok(answer));
    };
    for (events, remembered) in [(100, 100), (109, 100), (110, 110), (3, 110), (111, 110)] {
        seen(events);
        once(&world).await;
        assert_eq!(journal(&world)["events"], json!(remembered), "{events}");
    }
    let earlier = |seconds: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        world.change("shop", "demo", |platform| {
            platform["status"]["journal"]["seenAt"] = json!(at.strftime("%FT%TZ").to_string());
        });
    };
    earlier(50);
    once(&world).await;
    assert_eq!(journal(&world)["events"], json!(110), "not yet");
    earlier(60);
    once(&world).await;
    assert_eq!(journal(&world)["events"], json!(111), "exactly, once a minute");
    // An idle platform causes no write, however long ago the last one was.
    earlier(600);
    let before = journal(&world);
    once(&world).await;
    assert_eq!(journal(&world), before);

    // So a copy of the database that lacks a single event is detected.
    let had = jobs(&world);
    world.state().job_status = Some(json!({"active": 1}));
    database(&world, "postgres://u:p@db/older");
    once(&world).await;
    let job = jobs(&world).into_iter().find(|job| !had.contains(job)).unwrap();
    assert_eq!(told(&world, &job), [json!("111"), json!("1700000000000001")]);
}

/// Makes the query's pod unready with this reason.
fn unready(world: &World, code: &str, reason: &str) {
    let path = "/apis/apps/v1/namespaces/shop/deployments/demo-query";
    let status = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1});
    world.state().objects.get_mut(path).unwrap()["status"] = status;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": "demo-query-1", "namespace": "shop", "labels": names::labels("demo", Some("query")),
    }, "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]}});
    world
        .state()
        .put("/api/v1/namespaces/shop/pods/demo-query-1", pod);
    let check = json!({"status": "unready", "reason": reason, "code": code});
    let said = json!({"status": "unready", "checks": {"read_side": check}});
    world.state().ready.insert("10.0.0.1:8080".to_owned(), said);
}

#[tokio::test]
async fn a_schema_that_is_gone_is_told_and_migrated_again_once() {
    let world = with_journal("1700000000000001", 40).await;
    let had = jobs(&world);
    let words = "the schema ledger is at version 0, this build needs 1: run `wallex migrate`";
    unready(&world, "SchemaMissing", words);
    once(&world).await;
    assert_eq!(
        demo(&world, types::SCHEMA_READY),
        expected("False", Reason::SchemaMissing)
    );
    assert!(!world.is_ready("shop", "demo"));
    once(&world).await;
    let again = jobs(&world).into_iter().find(|job| !had.contains(job)).unwrap();
    assert_eq!(told(&world, &again)[0], json!("40"), "it may be the journal's");
    // The pods take a moment to notice; meanwhile there is no third one.
    for _ in 0..3 {
        once(&world).await;
    }
    assert_eq!(jobs(&world), [again]);

    world.state().ready.clear();
    let path = "/apis/apps/v1/namespaces/shop/deployments/demo-query";
    world.state().objects.get_mut(path).unwrap()["status"] =
        json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    until_ready(&world).await;
}

#[tokio::test]
async fn a_journal_that_lost_its_end_is_told_in_the_publishers_words() {
    let world = with_journal("1700000000000001", 40).await;
    let words = "JournalRewound: the topic ends with event 3:9, but the journal lacks it";
    unready(&world, "JournalRewound", words);
    once(&world).await;
    for type_ in [types::DEGRADED, types::STALLED] {
        assert_eq!(demo(&world, type_), expected("True", Reason::JournalRewound));
    }
    assert!(
        world
            .events()
            .contains(&Reason::JournalRewound.as_str().to_owned())
    );
}

#[tokio::test]
async fn a_component_without_pods_that_reads_need_is_not_ready_whoever_took_them() {
    for component in ["publisher", "command"] {
        let world = world();
        until_ready(&world).await;
        world.change("shop", "demo", |platform| {
            platform["spec"][component] = json!({"replicas": 0});
        });
        for _ in 0..2 {
            once(&world).await;
        }
        for (type_, status) in [
            (types::READY, "False"),
            (types::STALLED, "True"),
            (types::DEGRADED, "True"),
        ] {
            assert_eq!(
                demo(&world, type_),
                expected(status, Reason::ScaledToZero),
                "{component}"
            );
        }
        let status = world.platform("shop", "demo").unwrap()["status"].clone();
        assert_eq!(status["componentsReady"], "4/5");
        world.change("shop", "demo", |platform| {
            platform["spec"][component] = json!({"replicas": 1});
        });
        until_ready(&world).await;
    }
    // The command serves reads too.
    let world = world();
    world.change("shop", "demo", |platform| {
        platform["spec"]["query"] = json!({"replicas": 0});
    });
    until_ready(&world).await;
    let (_, _, message) = world.condition("shop", "demo", types::READY);
    assert!(message.contains("query has no pods"), "{message}");
}

#[tokio::test]
async fn a_scaled_component_that_somebody_scaled_to_zero_is_not_ready() {
    let world = world();
    world.change("shop", "demo", |platform| {
        platform["spec"]["autoscaling"] = json!({"driver": "HPA"});
        platform["spec"]["projectors"] = json!({"ledger": {"autoscaling": {"maxReplicas": 4}}});
    });
    let operator = world.operator(vec![Scope::All]);
    for _ in 0..4 {
        run(&operator, "shop", "demo").await;
    }
    assert!(
        world.is_ready("shop", "demo"),
        "{:?}",
        world.condition("shop", "demo", types::READY)
    );
    let path = "/apis/apps/v1/namespaces/shop/deployments/demo-ledger-projector";
    {
        let mut state = world.state();
        let deployment = state.objects.get_mut(path).unwrap();
        deployment["spec"]["replicas"] = json!(0);
        deployment["status"] = json!({"observedGeneration": 99, "replicas": 0});
    }
    once(&world).await;
    let (status, reason, message) = world.condition("shop", "demo", types::READY);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", Reason::ScaledToZero.as_str())
    );
    assert!(message.contains("somebody scaled it to 0"), "{message}");
}
