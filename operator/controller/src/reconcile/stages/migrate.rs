//! The migration's state, from its Job and from what the status remembers, and what to do about it. Pure.
//!
//! Invariant: a migration that succeeded is never run again for the same image, arguments and database, even when its Job is
//! gone; one that failed is started again after [`RETRY_AFTER`], for as long as it is wanted.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use wallex_crd::SchemaStatus;

/// How long a Job that gave up stands, with its pods and their logs, before a new one takes its place.
pub const RETRY_AFTER: Duration = Duration::from_secs(120);

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
}
