//! Reports the migration: how far its Job is, and why it makes no progress. Asks its pods and reads Events; writes nothing.
//!
//! Invariant: anything that can't be read is left out, and the message of a healthy migration does not change with
//! every log line.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use wallex_crd::names;
use wallex_crd::{JournalStatus, MAX_PARTITIONS, SchemaStatus, SchemaVersions};
use wallex_domain::Migrated;

use super::{pods, words};
use crate::reconcile::Pass;
use crate::reconcile::conditions::{ComponentState, Problem, Progress, Reason, Seen};
use crate::reconcile::stages::migrate::{Migration, RETRY_AFTER, Standing};
use crate::reconcile::validate::ValidatedPlatform;

/// How long a Job may have no pod. Kubernetes creates one immediately unless it is refused.
const PATIENCE: Duration = Duration::from_secs(15);

/// The migration's progress.
pub(in crate::reconcile) async fn progress(pass: &Pass<'_>, standing: &Standing<'_>) -> Progress {
    let (client, all) = (&pass.context.client, &pass.found.pods);
    let (name, live) = (&standing.job, standing.live);
    let now = Timestamp::now();
    let attempts = attempts(all, name);
    match &standing.state {
        Migration::Succeeded => Progress::Done(String::new()),
        Migration::Missing => waiting(format!("Job {name} is starting")),
        Migration::Running { failed: 0 } => {
            let problem = match pods::problem(&attempts, now) {
                Some(problem) => Some(problem),
                None => match attempts.first() {
                    Some(pod) if phase(pod) == Some("Running") => {
                        pods::ailing(&pass.context.projections, pod).await
                    }
                    Some(_) => None,
                    None => refused(client, live, now).await,
                },
            };
            match problem {
                Some(problem) => Progress::Failed(Problem::new(
                    problem.reason,
                    format!("Job {name} makes no progress: {}", problem.message),
                )),
                None => waiting(format!("Job {name} is running")),
            }
        }
        // The Job retries, but its message is worth reporting now.
        Migration::Running { failed } => {
            let told = format!("Job {name} failed ({failed} attempts) and is being retried");
            failure(&attempts, told, now)
        }
        Migration::Failed { .. } => {
            let told = format!("Job {name} failed; what ran before keeps running");
            failure(&attempts, told, now)
        }
    }
}

/// The finished Job's result. Read until it is known, because it disappears with the pod.
pub(in crate::reconcile) fn told(pass: &Pass<'_>, standing: &Standing<'_>) -> Option<Migrated> {
    let known = standing.remembered.filter(|schema| schema.job == standing.job);
    if !standing.is_done() || known.is_some_and(|schema| schema.version.is_some()) {
        return None;
    }
    let of_job = attempts(&pass.found.pods, &standing.job);
    let done = of_job.into_iter().find(|pod| phase(pod) == Some("Succeeded"))?;
    words::migrated(done)
}

/// Remembers a successful migration and the journal that it found. Checks the components: one that lacks the schema makes the
/// migration due again.
pub(in crate::reconcile) fn remember(
    pass: &Pass<'_>,
    standing: &Standing<'_>,
    told: Option<Migrated>,
    seen: &mut Seen,
) {
    if !standing.is_done() {
        return;
    }
    let mut schema = succeeded(pass.platform, standing, told.as_ref());
    if let Some(problem) = missing(&seen.components) {
        seen.schema = Progress::Failed(problem);
        schema = again(schema, Timestamp::now());
    }
    seen.remember.schema = Some(schema);
    seen.remember.journal = told.map(|told| JournalStatus {
        id: Some(told.journal_id.to_string()),
        events: told.events,
        seen_at: None,
    });
}

/// The completed migration with its result.
fn succeeded(platform: &ValidatedPlatform, standing: &Standing<'_>, told: Option<&Migrated>) -> SchemaStatus {
    let known = standing.remembered.filter(|schema| schema.job == standing.job);
    if let Some(schema) = known.filter(|schema| schema.version.is_some()) {
        return schema.clone();
    }
    let partitions = known.map_or(platform.partitions, |schema| schema.partitions);
    SchemaStatus {
        job: standing.job.clone(),
        image: platform.image.clone(),
        // An existing journal may have more partitions than requested; the next reconcile requests as many.
        partitions: told.map_or(partitions, |told| {
            partitions.max(told.partitions.min(MAX_PARTITIONS))
        }),
        version: told.and_then(|told| SchemaVersions::of(&told.schemas)),
        migrated_again_at: standing
            .remembered
            .and_then(|schema| schema.migrated_again_at.clone()),
    }
}

/// A migrated schema that has disappeared, in the words of a pod that lacks it.
fn missing(components: &[ComponentState]) -> Option<Problem> {
    let problems = components.iter().filter_map(|state| state.problem.as_ref());
    let missing = problems
        .into_iter()
        .find(|problem| problem.reason == Reason::SchemaMissing)?;
    Some(Problem::new(
        Reason::SchemaMissing,
        format!("{}; the operator runs the migration again", missing.message),
    ))
}

/// What to remember when a schema is gone; it makes the migration a new one. Not repeated until the last one has had its time:
/// pods take a moment to notice its result.
fn again(remembered: SchemaStatus, now: Timestamp) -> SchemaStatus {
    let last = remembered.migrated_again_at.as_ref().map(|at| at.0);
    let due = last
        .is_none_or(|last| Duration::try_from(now.duration_since(last)).unwrap_or_default() >= RETRY_AFTER);
    if !due {
        return remembered;
    }
    SchemaStatus {
        migrated_again_at: Some(Time(now)),
        ..remembered
    }
}

/// What a person can do about a database that lacks what the platform wrote.
pub(in crate::reconcile) fn way_out(platform: &ValidatedPlatform, progress: Progress) -> Progress {
    match (progress, &platform.history) {
        (Progress::Failed(problem), Some(history)) if problem.reason == Reason::JournalRewound => {
            let message = format!(
                "the database lacks what this platform has written, so no pods are rolled onto it: name the database that has it, or \
                 restore it. To give the journal up for good: kubectl annotate walletplatform {} -n {} {}={}; {}",
                platform.name,
                platform.namespace,
                names::ACCEPT_JOURNAL_LOSS,
                names::journal_name(history.journal.as_deref()),
                problem.message
            );
            Progress::Failed(Problem::new(problem.reason, message))
        }
        (progress, _) => progress,
    }
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn waiting(message: String) -> Progress {
    Progress::Waiting(Problem::new(Reason::MigrationRunning, message))
}

/// The Job's pods, latest attempt first.
fn attempts<'a>(all: &'a [Pod], job: &str) -> Vec<&'a Pod> {
    let mut found: Vec<&Pod> = all
        .iter()
        .filter(|pod| {
            pod.labels()
                .get("batch.kubernetes.io/job-name")
                .is_some_and(|of| of == job)
        })
        .collect();
    found.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp()));
    found
}

/// A failure with its best known cause.
fn failure(attempts: &[&Pod], told: String, now: Timestamp) -> Progress {
    if let Some(problem) = pods::problem(attempts, now) {
        return Progress::Failed(Problem::new(
            problem.reason,
            format!("{told}: {}", problem.message),
        ));
    }
    // Not those of an attempt that still runs, or that succeeds at last: they are no reason.
    let mut failed = attempts.iter().filter(|pod| phase(pod) == Some("Failed"));
    // Of the last one alone: what an earlier one said need not be why this one failed.
    let last = failed.find_map(|pod| words::end(pod)).map(words::failure);
    let problem = match last.filter(|said| !said.text.is_empty()) {
        Some(said) => Problem::new(
            said.reason.unwrap_or(Reason::MigrationFailed),
            format!("{told}: {}", said.text),
        ),
        None => Problem::new(Reason::MigrationFailed, told),
    };
    Progress::Failed(problem)
}

/// Why a Job has no pod at all. Unlike a Deployment, a Job reports that only in Events.
async fn refused(client: &Client, live: Option<&Job>, now: Timestamp) -> Option<Problem> {
    let live = live?;
    let created = live.creation_timestamp()?.0;
    let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
    if age < PATIENCE {
        return None;
    }
    let events: Api<Event> = Api::namespaced(client.clone(), &live.namespace().unwrap_or_default());
    let of_job = format!("involvedObject.kind=Job,involvedObject.name={}", live.name_any());
    let found = events.list(&ListParams::default().fields(&of_job)).await;
    let found = found.map(|list| list.items).unwrap_or_default();
    let said = found
        .iter()
        .filter(|event| event.reason.as_deref() == Some("FailedCreate"))
        .max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))
        .and_then(|event| event.message.clone());
    said.map(|message| Problem::new(Reason::PodsRefused, message))
}
