//! `kubectl wallex pause`, `suspend` and `resume`.

use serde_json::{Value, json};
use wallex_kubectl::{Outcome, Verb, run};

use crate::cluster::{Cluster, failure};
use crate::world::{DEMO, cluster, platform};

fn pause() -> Verb {
    let name = "demo".to_owned();
    Verb::Pause { name }
}

fn suspend() -> Verb {
    let name = "demo".to_owned();
    Verb::Suspend { name }
}

fn resume() -> Verb {
    let name = "demo".to_owned();
    Verb::Resume { name }
}

/// A cluster in which `demo` has these switches on.
fn with(switches: &[&str]) -> Cluster {
    let cluster = cluster();
    let mut platform = platform();
    for switch in switches {
        platform["spec"][switch] = true.into();
    }
    cluster
        .forget("GET", DEMO)
        .get(DEMO, &platform)
        .on("PATCH", DEMO, 200, &platform);
    cluster
}

async fn done(cluster: &Cluster, verb: Verb) -> String {
    let (mut session, printed) = cluster.session();
    assert_eq!(run(&mut session, verb).await.unwrap(), Outcome::Fine);
    printed.out()
}

fn patched(cluster: &Cluster) -> Value {
    let patch = cluster.first("PATCH");
    assert_eq!(patch.path, DEMO);
    assert_eq!(patch.query, "&fieldManager=kubectl-wallex&fieldValidation=Strict");
    patch.body
}

#[tokio::test]
async fn pause_sets_the_switch_and_says_how_to_undo_it() {
    let cluster = with(&[]);
    let said = done(&cluster, pause()).await;
    assert_eq!(patched(&cluster), json!({"spec": {"paused": true}}));
    assert_eq!(
        said,
        "demo is paused: the operator changes nothing, running pods are not affected; undo: kubectl wallex resume demo\n"
    );
}

#[tokio::test]
async fn a_paused_platform_is_not_paused_again() {
    let cluster = with(&["paused"]);
    assert_eq!(done(&cluster, pause()).await, "demo is already paused\n");
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test]
async fn suspending_a_paused_platform_says_that_nothing_happens_yet() {
    let cluster = with(&["paused"]);
    let said = done(&cluster, suspend()).await;
    assert_eq!(patched(&cluster), json!({"spec": {"suspended": true}}));
    assert!(said.contains("it is paused too"), "{said}");
}

#[tokio::test]
async fn resume_takes_back_what_is_on_and_nothing_else() {
    let paused = with(&["paused"]);
    let said = done(&paused, resume()).await;
    assert_eq!(patched(&paused), json!({"spec": {"paused": false}}));
    assert_eq!(
        said,
        "demo was paused and is resumed; watch it: kubectl wallex status demo --watch\n"
    );

    let both = with(&["paused", "suspended"]);
    done(&both, resume()).await;
    assert_eq!(
        patched(&both),
        json!({"spec": {"paused": false, "suspended": false}})
    );

    let neither = with(&[]);
    assert_eq!(
        done(&neither, resume()).await,
        "demo is neither paused nor suspended\n"
    );
    assert_eq!(neither.writes(), [""; 0]);
}

#[tokio::test]
async fn an_older_crd_refuses_instead_of_forgetting() {
    let cluster = with(&[]);
    cluster.forget("PATCH", DEMO).on(
        "PATCH",
        DEMO,
        400,
        &failure(
            400,
            "BadRequest",
            "strict decoding error: unknown field \"spec.paused\"",
        ),
    );
    let (mut session, _) = cluster.session();
    let error = run(&mut session, pause()).await.unwrap_err().to_string();
    assert!(
        error.contains("Upgrade the operator and its CRD first"),
        "{error}"
    );
}

#[tokio::test]
async fn without_the_right_to_change_it_the_right_is_named() {
    let cluster = with(&[]);
    cluster.forbid("PATCH", DEMO);
    let (mut session, _) = cluster.session();
    let error = run(&mut session, pause()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("you lack a right: patch on walletplatforms.wallex.dev in namespace wallex"),
        "{error}"
    );
}
