//! `kubectl wallex restart`.

use std::time::Duration;

use serde_json::{Value, json};
use wallex_crd::{Component, Projection};
use wallex_kubectl::{Outcome, Restart, Verb, run};

use crate::cluster::Cluster;
use crate::world::{DEMO, DEPLOYMENTS, PODS, cluster, deployment, looping_pod, platform};

fn verb(components: &[Component]) -> Verb {
    Verb::Restart(Restart {
        name: "demo".to_owned(),
        components: components.to_vec(),
        timeout: Duration::from_secs(600),
    })
}

fn path(component: Component) -> String {
    format!("{DEPLOYMENTS}/demo-{}", component.name())
}

/// A Deployment with `updated` new pods; its rollout is generation 4.
fn rolling(component: &str, updated: i32) -> Value {
    let mut rolling = deployment(component, 2, 2);
    rolling["metadata"]["generation"] = 4.into();
    rolling["status"]["observedGeneration"] = 4.into();
    rolling["status"]["updatedReplicas"] = updated.into();
    rolling
}

/// Every rollout is half done at the first check, and done after that.
fn restartable() -> Cluster {
    let cluster = cluster();
    cluster.forget("GET", DEPLOYMENTS);
    for component in Component::ROLLOUT {
        let name = component.name();
        cluster
            .on("PATCH", &path(component), 200, &rolling(name, 0))
            .list(DEPLOYMENTS, &[rolling(name, 1)])
            .watch(DEPLOYMENTS, &[rolling(name, 2)]);
    }
    cluster
}

#[tokio::test]
async fn components_are_rolled_readers_before_writers_and_each_is_awaited() {
    let cluster = restartable();
    let (mut session, printed) = cluster.session();
    assert_eq!(run(&mut session, verb(&[])).await.unwrap(), Outcome::Fine);
    let patches: Vec<String> = Component::ROLLOUT
        .map(|component| format!("PATCH {}", path(component)))
        .into();
    assert_eq!(cluster.writes(), patches);
    assert_eq!(
        printed.out(),
        "publisher: restarted\nledger-projector: restarted\nread-model-projector: restarted\nquery: restarted\ncommand: restarted\n"
    );
    assert!(
        printed.err().starts_with(
            "publisher: restarting\npublisher: 1 of 2 pods new, 2 ready\nledger-projector: restarting\n"
        ),
        "{}",
        printed.err()
    );

    let patch = cluster.first("PATCH");
    assert_eq!(patch.query, "&fieldManager=kubectl-wallex");
    assert_eq!(
        patch.body,
        json!({"spec": {"template": {"metadata": {"annotations": {
            "kubectl.kubernetes.io/restartedAt": "2026-11-24T21:00:00Z",
        }}}}})
    );
}

#[tokio::test]
async fn named_components_alone_are_rolled_in_the_same_order() {
    let cluster = cluster();
    cluster.forget("GET", DEPLOYMENTS);
    for component in [Component::Query, Component::Command] {
        cluster
            .on("PATCH", &path(component), 200, &rolling(component.name(), 0))
            .list(DEPLOYMENTS, &[rolling(component.name(), 2)]);
    }
    let (mut session, _) = cluster.session();
    let verb = verb(&[Component::Command, Component::Query]);
    run(&mut session, verb).await.unwrap();
    assert_eq!(
        cluster.writes(),
        [Component::Query, Component::Command].map(|component| format!("PATCH {}", path(component)))
    );
}

#[tokio::test]
async fn ctrl_c_leaves_things_as_they_are_and_says_so() {
    let cluster = restartable();
    let (mut session, printed) = cluster.session();
    // Asked for the second one's state.
    cluster
        .forget("GET", DEPLOYMENTS)
        .list(DEPLOYMENTS, &[rolling("publisher", 2)]);
    cluster.stop_at(
        "PATCH",
        &path(Component::Projector(Projection::Ledger)),
        &session.stop,
    );
    let outcome = tokio::time::timeout(Duration::from_secs(20), run(&mut session, verb(&[])));
    assert_eq!(outcome.await.unwrap().unwrap(), Outcome::Stopped);
    assert!(
        printed.err().ends_with(
            "stopped waiting; Kubernetes continues with ledger-projector\n\
             not started: read-model-projector query command\n\
             continue with: kubectl wallex restart demo read-model-projector query command\n"
        ),
        "{}",
        printed.err()
    );
}

#[tokio::test]
async fn a_component_that_does_not_come_up_ends_the_restart_with_its_pods_reason() {
    let cluster = cluster();
    let half = rolling("command", 1);
    cluster
        .forget("GET", DEPLOYMENTS)
        .on("PATCH", &path(Component::Command), 200, &half)
        .list(DEPLOYMENTS, &[half])
        .forget("GET", PODS)
        .list(PODS, &[looping_pod()]);
    let (mut session, _) = cluster.session();
    let verb = Verb::Restart(Restart {
        name: "demo".to_owned(),
        components: vec![Component::Command],
        timeout: Duration::from_secs(1),
    });
    let error = run(&mut session, verb).await.unwrap_err().to_string();
    assert!(
        error.starts_with("command is not restarted after 1 s: pod demo-command-7c9d-b CrashLoopBackOff"),
        "{error}"
    );
    assert!(error.ends_with("Not started: nothing"), "{error}");
}

#[tokio::test]
async fn a_suspended_platform_has_nothing_to_restart() {
    let cluster = cluster();
    let mut suspended = platform();
    suspended["spec"]["suspended"] = true.into();
    cluster.forget("GET", DEMO).get(DEMO, &suspended);
    let (mut session, printed) = cluster.session();
    assert_eq!(run(&mut session, verb(&[])).await.unwrap(), Outcome::Fine);
    assert!(printed.out().contains("is suspended"), "{}", printed.out());
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test]
async fn without_the_right_to_patch_deployments_the_right_is_named() {
    let cluster = restartable();
    cluster.forbid("PATCH", &path(Component::Publisher));
    let (mut session, _) = cluster.session();
    let error = run(&mut session, verb(&[])).await.unwrap_err().to_string();
    assert!(
        error.starts_with("you lack a right: patch on deployments.apps in namespace wallex"),
        "{error}"
    );
}
