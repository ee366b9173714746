//! The migration's state, from its Job and from what the status remembers, and what to do about it.
//!
//! Invariant: a migration that succeeded is never run again for the same image, arguments and database, even when its Job is
//! gone; a failed one is restarted after [`RETRY_AFTER`] as long as it is wanted.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use kube::ResourceExt as _;
use wallex_crd::SchemaStatus;
use wallex_crd::children::named;

use super::child::{Applier, others_only};
use super::report::ApplyError;
use crate::reconcile::Pass;
use crate::reconcile::build::{self, Manifests};
use crate::reconcile::drift;

/// How long a failed Job is kept, with its pods and their logs, before a new one replaces it.
pub const RETRY_AFTER: Duration = Duration::from_secs(120);

/// The state of the wanted migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// It was never started.
    Missing,
    /// It is running; `failed` attempts have failed.
    Running { failed: i32 },
    /// It is done.
    Succeeded,
    /// It gave up. `retry`: it has been kept long enough.
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

/// The wanted migration's current state.
pub struct Standing<'a> {
    /// Name of its Job.
    pub job: String,
    /// The Job; none: not created yet, or gone.
    pub live: Option<&'a Job>,
    /// The last migration that succeeded, this one or another.
    pub remembered: Option<&'a SchemaStatus>,
    pub state: Migration,
}

impl<'a> Standing<'a> {
    pub(in crate::reconcile) fn of(pass: &Pass<'a>, manifests: &Manifests) -> Self {
        let job = manifests.migration.name_any();
        let status = pass.object.status.as_ref();
        let remembered = status.and_then(|status| status.schema.as_ref());
        let live = named(&pass.found.children.jobs, &job);
        let state = state(&job, live, remembered, Timestamp::now());
        Self {
            job,
            live,
            remembered,
            state,
        }
    }

    /// Whether the database is migrated.
    pub(in crate::reconcile) fn is_done(&self) -> bool {
        self.state == Migration::Succeeded
    }
}

impl Applier<'_> {
    /// The migration Job and what its pods need. A Job that exists is never changed: its template can't be.
    pub(in crate::reconcile) async fn migration(&self, manifests: &Manifests, migration: &Migration) {
        let account = &manifests.service_account;
        if self.child(account).await.is_none() {
            return;
        }
        let wanted = &manifests.migration;
        let live = named(&self.children.jobs, &wanted.name_any());
        let replaced = match migration {
            Migration::Missing => {
                self.child(wanted).await;
                false
            }
            Migration::Failed { retry: true } => true,
            // Permission given in the meantime takes effect at once.
            Migration::Running { .. } | Migration::Failed { retry: false } => {
                live.is_some_and(|live| build::expects_history(live) && !build::expects_history(wanted))
            }
            Migration::Succeeded => false,
        };
        let Some(live) = live else { return };
        if replaced {
            let deleted = self.writes.delete(live).await;
            self.noted(deleted.map_err(ApplyError::from));
        } else if matches!(migration, Migration::Running { .. }) {
            let resumed = self.as_it_was_made(wanted, live).await;
            self.noted(resumed);
        }
    }

    /// Removes from a Job what others added, such as its suspension. Everything else stays as it was created.
    async fn as_it_was_made(&self, wanted: &Job, live: &Job) -> Result<(), ApplyError> {
        let drift = drift::compare(&build::told_as(wanted, live), live);
        if drift.strays.is_empty() || !drift.changed.is_empty() {
            return Ok(());
        }
        let version = live.resource_version().unwrap_or_default();
        self.writes.put_back(live, drift.patch(&version)).await?;
        let told = others_only(drift.strays);
        if !told.is_empty() {
            self.report()
                .put_back
                .push((format!("Job {}", live.name_any()), told));
        }
        Ok(())
    }
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
