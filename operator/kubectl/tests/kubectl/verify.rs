//! `kubectl wallex verify`.

use std::time::Duration;

use serde_json::{Value, json};
use wallex_kubectl::{Error, Outcome, Verb, Verify, run};

use crate::cluster::{Cluster, Printed};
use crate::world::{JOBS, MAINTAIN, PODS, cluster, container, pod};

const JOB: &str = "/apis/batch/v1/namespaces/wallex/jobs/demo-verify-x7k2p";
const LOG: &str = "/api/v1/namespaces/wallex/pods/demo-verify-x7k2p-abcde/log";

fn verb() -> Verb {
    Verb::Verify(Verify {
        name: "demo".to_owned(),
        timeout: Duration::from_secs(3600),
        keep: false,
    })
}

fn check_pod(phase: &str, state: Value) -> Value {
    let status = json!({"phase": phase, "containerStatuses": [container(state, json!({}), 0)]});
    pod("demo-verify-x7k2p-abcde", "maintain", status)
}

/// The Job is created, and its pod exits with this code after this log.
fn checking(exit_code: i32, log: &str) -> Cluster {
    let cluster = cluster();
    let job = json!({"metadata": {"name": "demo-verify-x7k2p", "namespace": "wallex", "uid": "33"}, "spec": {"template": {}}});
    cluster
        .on("POST", JOBS, 201, &job)
        .on(
            "DELETE",
            JOB,
            200,
            &json!({"kind": "Status", "status": "Success"}),
        )
        .forget("GET", PODS)
        .list(PODS, &[check_pod("Running", json!({"running": {}}))])
        .list(
            PODS,
            &[check_pod(
                "Succeeded",
                json!({"terminated": {"exitCode": exit_code}}),
            )],
        )
        .bytes("GET", LOG, 200, log.as_bytes().to_vec());
    cluster
}

async fn checked(cluster: &Cluster) -> (Result<Outcome, Error>, Printed) {
    let (mut session, printed) = cluster.session();
    (run(&mut session, verb()).await, printed)
}

#[tokio::test]
async fn a_whole_journal_is_shown_and_the_job_goes() {
    let cluster = checking(0, "120 events in 10 partitions, 7 wallets: all whole\n");
    let (outcome, printed) = checked(&cluster).await;
    assert_eq!(outcome.unwrap().exit_code(), 0);
    assert_eq!(
        printed.out(),
        "120 events in 10 partitions, 7 wallets: all whole\nthe journal of demo is whole\n"
    );
    assert_eq!(
        printed.err(),
        "Job demo-verify-x7k2p checks the journal of demo; it only reads\nJob demo-verify-x7k2p is removed\n"
    );
    assert_eq!(
        cluster.writes(),
        [format!("POST {JOBS}"), format!("DELETE {JOB}")]
    );
    let removed = cluster.first("DELETE").body;
    assert_eq!(removed["preconditions"]["uid"], "33");
    assert_eq!(removed["propagationPolicy"], "Background");
}

/// Everything except the argument comes from the maintenance: image, settings, Secrets, account, security.
#[tokio::test]
async fn the_job_is_the_maintenance_with_another_argument() {
    let cluster = checking(0, "1 events in 1 partitions, 1 wallets: all whole\n");
    checked(&cluster).await.0.unwrap();
    let job = cluster.first("POST").body;
    insta::assert_snapshot!("verify-job", serde_yaml_ng::to_string(&job).unwrap());
    let mut pod = job["spec"]["template"].clone();
    pod["spec"]["containers"][0]["args"] = json!(["maintain"]);
    assert_eq!(
        pod,
        crate::world::maintenance()["spec"]["jobTemplate"]["spec"]["template"]
    );
}

#[tokio::test]
async fn a_journal_with_problems_is_exit_code_1() {
    let cluster = checking(
        1,
        "partition 3, seq 17: hash differs\n120 events in 10 partitions, 7 wallets: 1 problems\n",
    );
    let (outcome, printed) = checked(&cluster).await;
    assert_eq!(outcome.unwrap().exit_code(), 1);
    assert!(printed.out().contains("seq 17") && printed.out().contains("NOT whole"));
    assert_eq!(cluster.writes().len(), 2);
}

#[tokio::test]
async fn a_check_that_could_not_be_done_says_its_last_line_and_goes_too() {
    let cluster = checking(1, "Error: no connection to the database\n");
    let (outcome, _) = checked(&cluster).await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the check could not be completed (exit code 1): Error: no connection to the database"
    );
    assert_eq!(cluster.writes().len(), 2);
}

#[tokio::test]
async fn a_pod_that_can_never_start_ends_the_wait() {
    let cluster = checking(0, "");
    let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"demo-database\" not found"}});
    cluster
        .forget("GET", PODS)
        .list(PODS, &[check_pod("Pending", waiting)]);
    let error = checked(&cluster).await.0.unwrap_err().to_string();
    assert_eq!(
        error,
        "pod demo-verify-x7k2p-abcde can't start: CreateContainerConfigError: secret \"demo-database\" not found"
    );
    assert_eq!(cluster.writes().len(), 2);
}

#[tokio::test]
async fn a_log_that_breaks_off_is_followed_on_without_repeating_a_line() {
    let cluster = checking(0, "one\n");
    cluster
        .bytes("GET", LOG, 200, b"one\ntwo: all whole\n".to_vec())
        .forget("GET", PODS)
        .list(PODS, &[check_pod("Running", json!({"running": {}}))])
        .list(PODS, &[check_pod("Running", json!({"running": {}}))])
        .list(
            PODS,
            &[check_pod("Succeeded", json!({"terminated": {"exitCode": 0}}))],
        );
    let (outcome, printed) = checked(&cluster).await;
    assert_eq!(outcome.unwrap(), Outcome::Fine);
    assert_eq!(
        printed.out(),
        "one\ntwo: all whole\nthe journal of demo is whole\n"
    );
}

#[tokio::test]
async fn ctrl_c_removes_the_job() {
    let cluster = checking(0, "");
    let (mut session, printed) = cluster.session();
    cluster.stop_at("GET", LOG, &session.stop);
    let outcome = run(&mut session, verb()).await.unwrap();
    assert_eq!(outcome.exit_code(), 130);
    assert_eq!(
        cluster.writes(),
        [format!("POST {JOBS}"), format!("DELETE {JOB}")]
    );
    assert!(printed.err().ends_with("stopped before the check was complete\n"));
}

#[tokio::test]
async fn a_platform_that_was_never_migrated_has_nothing_to_check() {
    let cluster = cluster();
    cluster.forget("GET", MAINTAIN);
    let error = checked(&cluster).await.0.unwrap_err().to_string();
    assert!(error.contains("no CronJob demo-maintain yet"), "{error}");
    assert_eq!(cluster.writes(), [""; 0]);
}

#[tokio::test]
async fn without_the_right_to_make_jobs_the_right_is_named() {
    let cluster = checking(0, "");
    cluster.forbid("POST", JOBS);
    let error = checked(&cluster).await.0.unwrap_err().to_string();
    assert!(
        error.starts_with("you lack a right: create on jobs.batch in namespace wallex"),
        "{error}"
    );
}
