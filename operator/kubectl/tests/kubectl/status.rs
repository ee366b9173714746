//! `kubectl wallex status`.

use serde_json::json;
use wallex_kubectl::{Error, Outcome, Status, Verb, run};

use crate::cluster::{Cluster, failure};
use crate::world::{
    ALL_PLATFORMS, DEMO, DEPLOYMENTS, EVENTS, KAFKA, LAG, PLATFORMS, PODS, cluster, looping_pod, platform,
    running_pod,
};

fn named(name: &str) -> Verb {
    Verb::Status(Status {
        name: Some(name.to_owned()),
        ..Status::default()
    })
}

async fn shown(cluster: &Cluster, verb: Verb) -> String {
    let (mut session, printed) = cluster.session();
    assert_eq!(run(&mut session, verb).await.unwrap(), Outcome::Fine);
    assert_eq!(printed.err(), "");
    assert_eq!(cluster.writes(), [""; 0], "status only reads");
    printed.out()
}

async fn refused(cluster: &Cluster, verb: Verb) -> Error {
    let (mut session, printed) = cluster.session();
    let error = run(&mut session, verb).await.unwrap_err();
    assert_eq!(printed.out(), "");
    error
}

#[tokio::test]
async fn one_screen_says_what_is_wrong_and_why() {
    insta::assert_snapshot!("status", shown(&cluster(), named("demo")).await);
}

#[tokio::test]
async fn the_only_platform_needs_no_name() {
    let cluster = cluster();
    assert_eq!(
        shown(&cluster, Verb::Status(Status::default())).await,
        shown(&cluster, named("demo")).await
    );
}

#[tokio::test]
async fn what_rights_do_not_show_is_marked_with_the_right_that_is_missing() {
    let cluster = cluster();
    for path in [PODS, EVENTS, DEPLOYMENTS, LAG] {
        cluster.forbid("GET", path);
    }
    insta::assert_snapshot!("status-without-rights", shown(&cluster, named("demo")).await);
}

#[tokio::test]
async fn a_platform_that_no_operator_has_seen_says_so() {
    let cluster = cluster();
    let mut unseen = platform();
    unseen.as_object_mut().unwrap().remove("status");
    unseen["spec"]["paused"] = true.into();
    cluster
        .forget("GET", DEMO)
        .get(DEMO, &unseen)
        .forget("GET", DEPLOYMENTS)
        .list(DEPLOYMENTS, &[])
        .forget("GET", EVENTS)
        .list(EVENTS, &[])
        .forget("GET", LAG)
        .on(
            "GET",
            LAG,
            404,
            &failure(404, "NotFound", "services \"demo-command\" not found"),
        );
    insta::assert_snapshot!("status-unseen", shown(&cluster, named("demo")).await);
}

#[tokio::test]
async fn a_spec_that_the_operator_has_not_seen_yet_is_marked_old() {
    let cluster = cluster();
    let mut changed = platform();
    changed["metadata"]["generation"] = 5.into();
    cluster.forget("GET", DEMO).get(DEMO, &changed);
    let screen = shown(&cluster, named("demo")).await;
    assert!(screen.contains("(generation 5, seen 4)"), "{screen}");
}

#[tokio::test]
async fn a_role_that_does_not_know_the_lag_says_why() {
    let cluster = cluster();
    let problem =
        json!({"title": "unavailable", "code": "unavailable", "detail": "the journal does not answer"});
    cluster.forget("GET", LAG).on("GET", LAG, 503, &problem);
    let screen = shown(&cluster, named("demo")).await;
    assert!(
        screen.contains("not known: the journal does not answer"),
        "{screen}"
    );
}

/// A cluster with an image older than `/health/projections`, and this Kafka report.
fn old_image(status: u16, report: &serde_json::Value) -> Cluster {
    let cluster = cluster();
    let problem = json!({"title": "not found", "code": "not_found"});
    cluster
        .forget("GET", LAG)
        .on("GET", LAG, 404, &problem)
        .on("GET", KAFKA, status, report);
    cluster
}

#[tokio::test]
async fn an_older_image_is_asked_for_committed_offsets() {
    let report = json!({"status": "ready", "brokers": 1, "topics": [], "groups": [
        {"name": "demo-ledger-projector", "lag": 0, "partitions": []},
        {"name": "demo-read-model-projector", "lag": 1250, "partitions": []},
    ]});
    let screen = shown(&old_image(200, &report), named("demo")).await;
    assert!(screen.contains("demo-read-model-projector  1250\n"), "{screen}");
    assert!(screen.contains("by committed offsets"), "{screen}");
}

#[tokio::test]
async fn an_unwell_kafka_is_the_reason_why_an_older_image_does_not_know_the_lag() {
    let report =
        json!({"status": "unready", "reason": "no broker answers", "brokers": 0, "topics": [], "groups": []});
    let screen = shown(&old_image(503, &report), named("demo")).await;
    assert!(screen.contains("not known: no broker answers"), "{screen}");
}

#[tokio::test]
async fn several_platforms_are_a_table() {
    let cluster = cluster();
    let mut other = platform();
    other["metadata"]["name"] = "shop".into();
    other["metadata"]["namespace"] = "trade".into();
    other["spec"]["suspended"] = true.into();
    other["status"]["conditions"][0]["status"] = "True".into();
    other["status"]["conditions"][0]["reason"] = "Ready".into();
    other["status"]["conditions"][0]["message"] = "first line\nsecond line".into();
    let mut unseen = platform();
    unseen["metadata"]["name"] = "new".into();
    unseen.as_object_mut().unwrap().remove("status");
    let all = [platform(), unseen, other];
    cluster
        .forget("GET", PLATFORMS)
        .list(PLATFORMS, &all)
        .list(ALL_PLATFORMS, &all);
    let here = shown(&cluster, Verb::Status(Status::default())).await;
    let everywhere = Verb::Status(Status {
        all_namespaces: true,
        ..Status::default()
    });
    let everywhere = shown(&cluster, everywhere).await;
    insta::assert_snapshot!("table", format!("{here}\n{everywhere}"));
}

#[tokio::test]
async fn no_platform_at_all_is_said_and_is_no_error() {
    let cluster = Cluster::default();
    cluster.list(PLATFORMS, &[]);
    let text = shown(&cluster, Verb::Status(Status::default())).await;
    assert!(text.contains("No WalletPlatforms in namespace wallex"), "{text}");
}

#[tokio::test]
async fn an_unknown_name_names_those_there_are() {
    let error = refused(&cluster(), named("dmeo")).await.to_string();
    assert_eq!(error, "no WalletPlatform dmeo in namespace wallex; there is demo");
}

#[tokio::test]
async fn a_platform_in_another_namespace_is_pointed_at() {
    let cluster = Cluster::default();
    let mut elsewhere = platform();
    elsewhere["metadata"]["namespace"] = "trade".into();
    cluster.list(PLATFORMS, &[]).list(ALL_PLATFORMS, &[elsewhere]);
    let error = refused(&cluster, named("demo")).await.to_string();
    assert!(
        error.ends_with("there is one in trade: name it with -n"),
        "{error}"
    );
}

#[tokio::test]
async fn a_cluster_without_the_crd_says_how_to_install_it() {
    let error = refused(&Cluster::default(), named("demo")).await;
    assert!(matches!(error, Error::NotInstalled), "{error}");
    assert!(error.to_string().contains("helm install"), "{error}");
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let cluster = cluster();
    cluster.forbid("GET", DEMO);
    let error = refused(&cluster, named("demo")).await.to_string();
    assert!(
        error.starts_with("you lack a right: get on walletplatforms.wallex.dev in namespace wallex\n"),
        "{error}"
    );
    assert!(error.contains("User \"jane\""), "{error}");
}

#[tokio::test]
async fn colours_only_colour() {
    let cluster = cluster();
    let (mut session, printed) = cluster.session();
    session.console.colour = true;
    run(&mut session, named("demo")).await.unwrap();
    let coloured = printed.out();
    assert!(coloured.contains("\x1b[31mFalse\x1b[0m"), "{coloured}");
    let mut plain = coloured;
    for code in ["0", "1", "2", "31", "32", "33"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(plain, shown(&cluster, named("demo")).await);
}

#[tokio::test]
async fn a_message_cannot_steer_the_terminal() {
    let cluster = cluster();
    let mut evil = platform();
    evil["status"]["conditions"][0]["message"] = "\x1b[2Jall is well".into();
    cluster.forget("GET", DEMO).get(DEMO, &evil);
    assert!(!shown(&cluster, named("demo")).await.contains('\x1b'));
}

#[tokio::test]
async fn watching_draws_again_when_a_pod_changes_and_ends_with_ctrl_c() {
    let cluster = cluster();
    // The second drawing finds the pod healthy. Watches of unchanging objects never end.
    let before = [looping_pod()];
    let after = [running_pod("demo-command-7c9d-b", "command")];
    cluster
        .forget("GET", PODS)
        .list(PODS, &before)
        .list(PODS, &before)
        .list(PODS, &after)
        .watch(PODS, &after);
    let (mut session, printed) = cluster.session();
    let stop = session.stop.clone();
    let verb = Verb::Status(Status {
        name: Some("demo".to_owned()),
        watch: true,
        ..Status::default()
    });
    let watching = tokio::spawn(async move { run(&mut session, verb).await });
    let drawn = || printed.out().matches("demo in namespace wallex").count();
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while drawn() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    stop.cancel();
    assert_eq!(watching.await.unwrap().unwrap(), Outcome::Stopped);
    let out = printed.out();
    let (first, last) = (
        out.find("CrashLoopBackOff").unwrap(),
        out.rfind("demo in").unwrap(),
    );
    assert!(first < last && !out[last..].contains("CrashLoopBackOff"), "{out}");
}
