//! The migration's state, from its Job and from what the status remembers, and what to do about it. Pure but for the reading of logs.
//!
//! Invariant: a migration that succeeded is never run again for the same image, arguments and database, even when its Job is
//! gone; one that failed is started again after [`RETRY_AFTER`], for as long as it is wanted.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt as _};

use crate::crd::SchemaStatus;

/// How long a Job that gave up stands, with its pods and their logs, before a new one takes its place.
pub const RETRY_AFTER: Duration = Duration::from_secs(120);

/// Lines and bytes of a failed attempt's log that a condition shows.
const LOG_LINES: i64 = 8;
const LOG_BYTES: usize = 1024;

/// State of the wanted migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// It was never begun.
    Missing,
    /// It runs; so many attempts have failed.
    Running { failed: i32 },
    /// It is done.
    Succeeded,
    /// It gave up. `retry`: it has stood long enough.
    Failed { retry: bool },
}

/// The state of the Job `wanted`.
pub fn state(
    wanted: &str,
    job: Option<&Job>,
    remembered: Option<&SchemaStatus>,
    now: Timestamp,
) -> Migration {
    if remembered.is_some_and(|schema| schema.job == wanted) {
        return Migration::Succeeded;
    }
    let Some(job) = job else { return Migration::Missing };
    if condition(job, "Complete").is_some() {
        return Migration::Succeeded;
    }
    if let Some(failed) = condition(job, "Failed") {
        let since = failed.last_transition_time.as_ref().map_or(now, |time| time.0);
        let stood = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        return Migration::Failed {
            retry: stood >= RETRY_AFTER,
        };
    }
    Migration::Running {
        failed: job
            .status
            .as_ref()
            .and_then(|status| status.failed)
            .unwrap_or_default(),
    }
}

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_deref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// What the Job's last pod has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastWords {
    /// Why its container can't start.
    CannotStart(String),
    /// The last lines that the last attempt with any logged.
    Log(String),
    None,
}

impl LastWords {
    /// As the end of a sentence.
    pub fn said(self) -> String {
        match self {
            Self::CannotStart(said) | Self::Log(said) => format!(": {said}"),
            Self::None => String::new(),
        }
    }
}

/// What the Job's pods have to say. Reading it is a courtesy: when that fails, there is nothing.
pub async fn last_words(client: &Client, namespace: &str, job: &str) -> LastWords {
    read_last_words(client, namespace, job)
        .await
        .unwrap_or_else(|error| {
            tracing::debug!(%error, job, "could not read the log of the migration");
            LastWords::None
        })
}

async fn read_last_words(client: &Client, namespace: &str, job: &str) -> kube::Result<LastWords> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = format!("batch.kubernetes.io/job-name={job}");
    let mut found = pods.list(&ListParams::default().labels(&selector)).await?.items;
    found.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    // The last attempt may not have begun to log; the one before it has.
    for pod in found.iter().rev() {
        if let Some(why) = waiting(pod) {
            return Ok(LastWords::CannotStart(why));
        }
        let params = LogParams {
            tail_lines: Some(LOG_LINES),
            ..LogParams::default()
        };
        let log = pods.logs(&pod.name_any(), &params).await.unwrap_or_default();
        if !log.trim().is_empty() {
            return Ok(LastWords::Log(last_bytes(log.trim(), LOG_BYTES).to_owned()));
        }
    }
    Ok(LastWords::None)
}

/// Why a pod's container can't start, where that is more than "it is about to".
fn waiting(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let waiting = statuses
        .iter()
        .find_map(|status| status.state.as_ref()?.waiting.as_ref())?;
    let reason = waiting
        .reason
        .as_deref()
        .filter(|reason| !matches!(*reason, "ContainerCreating" | "PodInitializing"))?;
    Some(match &waiting.message {
        Some(message) => format!("{reason}: {}", last_bytes(message, LOG_BYTES)),
        None => reason.to_owned(),
    })
}

/// The end of a text, whole characters.
fn last_bytes(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn job(status: &serde_json::Value) -> Job {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "demo-migrate-1"}, "status": status}))
            .unwrap()
    }

    fn finished(type_: &str) -> Job {
        job(&serde_json::json!({"conditions": [
            {"type": type_, "status": "True", "lastTransitionTime": at(0).to_string()},
        ]}))
    }

    fn remembered(job: &str) -> SchemaStatus {
        SchemaStatus {
            job: job.to_owned(),
            ..SchemaStatus::default()
        }
    }

    #[test]
    fn a_migration_that_succeeded_is_not_run_again_when_its_job_is_gone() {
        let schema = remembered("demo-migrate-1");
        assert_eq!(
            state("demo-migrate-1", None, Some(&schema), at(0)),
            Migration::Succeeded
        );
        assert_eq!(
            state("demo-migrate-2", None, Some(&schema), at(0)),
            Migration::Missing
        );
    }

    #[test]
    fn a_job_succeeds_only_when_kubernetes_says_complete() {
        assert_eq!(
            state("demo-migrate-1", Some(&finished("Complete")), None, at(0)),
            Migration::Succeeded
        );
        let finishing = finished("SuccessCriteriaMet");
        assert_eq!(
            state("demo-migrate-1", Some(&finishing), None, at(0)),
            Migration::Running { failed: 0 }
        );
        let trying = job(&serde_json::json!({"active": 1, "failed": 2}));
        assert_eq!(
            state("demo-migrate-1", Some(&trying), None, at(0)),
            Migration::Running { failed: 2 }
        );
    }

    #[test]
    fn a_job_that_gave_up_is_replaced_after_a_while() {
        let failed = finished("Failed");
        assert_eq!(
            state("demo-migrate-1", Some(&failed), None, at(119)),
            Migration::Failed { retry: false }
        );
        assert_eq!(
            state("demo-migrate-1", Some(&failed), None, at(120)),
            Migration::Failed { retry: true }
        );
    }

    #[test]
    fn a_long_log_is_cut_at_its_beginning_between_characters() {
        assert_eq!(last_bytes("abc", 10), "abc");
        assert_eq!(last_bytes("aä", 1), "");
        assert_eq!(last_bytes("xäb", 3), "äb");
    }

    #[test]
    fn a_pod_that_cannot_pull_its_image_says_so() {
        let pod: Pod = serde_json::from_value(
            serde_json::json!({"metadata": {}, "status": {"containerStatuses": [
                {"name": "wallex", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                 "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
            ]}}),
        )
        .unwrap();
        assert_eq!(waiting(&pod).as_deref(), Some("ErrImagePull: not found"));
    }
}
