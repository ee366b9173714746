//! One reconcile: the line of stages from a `WalletPlatform` to its children and its status.
//!
//! `dereference` reads → `validate` proves → `build` makes manifests → topics, then `apply` in order → orphans →
//! `conditions` → `status`. Each stage's module says what it may and may not do.
//!
//! Invariants: the status is brought up to date whatever stage stopped, so that a platform always says why it is not ready;
//! a second run on an unchanged world writes nothing; a platform that is being deleted is left to Kubernetes' garbage collection.

pub mod apply;
pub mod build;
pub mod conditions;
pub mod dereference;
pub mod matching;
pub mod migration;
pub mod status;
pub mod topics;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::controller::Action;
use kube::{Client, Resource as _, ResourceExt as _};

use crate::backoff;
use crate::crd::{SchemaStatus, WalletPlatform};
use crate::metrics::{Metrics, Outcome};
use crate::names::Component;
use crate::writes::{WriteError, Writes};
use apply::{Applier, ApplyError};
use build::Manifests;
use conditions::{Observation, Problem, Progress, reasons};
use dereference::{Dereferenced, named};
use migration::{LastWords, Migration};
use topics::TopicChecks;
use validate::ValidatedPlatform;

/// While something is under way that no watch reports, such as a pod that can't pull its image.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// While Kubernetes removes what a deleted platform of the same name left.
const PREDECESSOR: Duration = Duration::from_secs(2);
/// While all is well: the watches report changes, this is for what they might miss.
const RESYNC: Duration = Duration::from_secs(300);

/// What reconciles need, shared by all of them.
pub struct Context {
    pub client: Client,
    pub writes: Writes,
    pub metrics: Metrics,
    pub topics: TopicChecks,
    /// Uid of the namespace kube-system.
    pub cluster: String,
}

/// Why a reconcile has to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading: {0}")]
    Read(#[source] Box<kube::Error>),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("status: {0}")]
    Status(#[source] WriteError),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Read(Box::new(error))
    }
}

/// What the stages before the status found out.
#[derive(Default)]
struct Line {
    observation: Observation,
    topics: Option<Vec<crate::kafka::Topic>>,
    schema: Option<SchemaStatus>,
    again: Option<Duration>,
    error: Option<ApplyError>,
}

/// Reconciles the platform of that name.
///
/// # Errors
/// When the API server fails or refuses; the status says so too, where it can.
pub async fn run(context: &Arc<Context>, namespace: &str, name: &str) -> Result<(Action, Outcome), Error> {
    let Some(found) = dereference::platform(&context.client, namespace, name).await? else {
        return Ok((Action::await_change(), Outcome::Settled));
    };
    let platform = match found.0 {
        Ok(platform) => platform,
        Err(error) => {
            tracing::error!(%error, "this version of the operator can't read the object; it is left as it is");
            return Ok((Action::await_change(), Outcome::Invalid));
        }
    };
    if platform.metadata.deletion_timestamp.is_some() {
        return Ok((Action::await_change(), Outcome::Settled));
    }

    let found = dereference::run(&context.client, &platform).await?;
    let line = match validated(context, &platform, &found) {
        Ok(validated) => stages(context, &validated, &found, &platform).await,
        Err(problem) => stopped(&platform, &found, problem),
    };
    let Line {
        observation,
        topics,
        schema,
        again,
        error,
    } = line;
    if let Some(error) = error.as_ref().filter(|error| error.problem().is_none()) {
        // It says nothing about the platform, so neither does the status.
        tracing::debug!(%error, "stopped");
    } else {
        report(context, &platform, &observation, topics.as_deref(), schema).await?;
    }
    if let Some(error) = error {
        return Err(error.into());
    }
    let (plain, outcome) = if observation.is_ready() {
        (RESYNC, Outcome::Settled)
    } else {
        (UNDER_WAY, Outcome::Waiting)
    };
    // Whatever is due first; never at once, or a deadline that just passed would spin.
    let again = again
        .map_or(plain, |again| again.min(plain))
        .max(Duration::from_millis(500));
    Ok((Action::requeue(backoff::period(again)), outcome))
}

/// Writes the status and reports a transition, if there is anything new.
async fn report(
    context: &Context,
    platform: &WalletPlatform,
    observation: &Observation,
    topics: Option<&[crate::kafka::Topic]>,
    schema: Option<SchemaStatus>,
) -> Result<(), Error> {
    let status = status::run(platform, observation, topics, schema, Timestamp::now());
    if platform.status.as_ref() == Some(&status) {
        return Ok(());
    }
    context
        .writes
        .status(platform, &status)
        .await
        .map_err(Error::Status)?;
    if let Some(event) = status::transition(platform.status.as_ref(), &status) {
        context.writes.event(&platform.object_ref(&()), &event).await;
    }
    Ok(())
}

fn validated(
    context: &Context,
    platform: &WalletPlatform,
    found: &Dereferenced,
) -> Result<ValidatedPlatform, Problem> {
    let uid = platform.uid().unwrap_or_default();
    if let Some(child) = found.children.predecessor(&platform.name_any(), &uid) {
        return Err(Problem::new(
            reasons::PREDECESSOR_TERMINATING,
            format!("waiting until Kubernetes has removed {child} of the deleted platform of the same name"),
        ));
    }
    validate::run(platform, found, &context.cluster)
}

/// What can still be said of a platform that can't be built.
fn stopped(platform: &WalletPlatform, found: &Dereferenced, problem: Problem) -> Line {
    let components = status::components(
        &platform.name_any(),
        &found.children.deployments,
        |_| 0,
        |_, _| true,
    );
    let again = (problem.reason == reasons::PREDECESSOR_TERMINATING).then_some(PREDECESSOR);
    Line {
        observation: Observation {
            invalid: Some(problem),
            components,
            ..Observation::default()
        },
        again,
        ..Line::default()
    }
}

/// Build, topics, apply, orphans.
async fn stages(
    context: &Arc<Context>,
    platform: &ValidatedPlatform,
    found: &Dereferenced,
    object: &WalletPlatform,
) -> Line {
    let manifests = build::run(platform);
    let children = &found.children;
    let applier = Applier {
        client: &context.client,
        writes: &context.writes,
        platform,
        children,
    };

    let checked = context.topics.run(platform, context.writes.fence()).await;
    let job = manifests.migration.name_any();
    let remembered = object.status.as_ref().and_then(|status| status.schema.as_ref());
    let migration = migration::state(&job, named(&children.jobs, &job), remembered, Timestamp::now());
    let schema = (migration == Migration::Succeeded).then(|| SchemaStatus {
        job: job.clone(),
        image: platform.image.clone(),
        partitions: platform.partitions,
    });

    let applied = in_order(&applier, &manifests, &migration).await;
    let (deployments, error) = match applied {
        Ok(Some(deployments)) => (deployments, None),
        Ok(None) => (children.deployments.clone(), None),
        Err(error) => (children.deployments.clone(), Some(error)),
    };
    let refused = error.as_ref().and_then(ApplyError::problem);
    let components = status::components(
        &platform.name,
        &deployments,
        |component| platform.component(component).replicas,
        |component, live| is_wanted(&manifests, component, live),
    );
    Line {
        observation: Observation {
            invalid: None,
            topics: checked.progress,
            schema: schema_progress(context, platform, &job, &migration).await,
            refused,
            components,
        },
        topics: checked.topics,
        schema,
        again: Some(checked.again),
        error,
    }
}

/// Applies in the order that apply.rs explains. None: the migration is not done yet.
async fn in_order(
    applier: &Applier<'_>,
    manifests: &Manifests,
    migration: &Migration,
) -> Result<Option<Vec<Deployment>>, ApplyError> {
    applier.migration(manifests, migration).await?;
    applier.network(manifests).await?;
    if *migration != Migration::Succeeded {
        return Ok(None);
    }
    let deployments = applier.workloads(manifests).await?;
    applier.orphans(manifests).await?;
    Ok(Some(deployments))
}

/// Whether a live Deployment has the template that is wanted.
fn is_wanted(manifests: &Manifests, component: Component, live: &Deployment) -> bool {
    let wanted = manifests.deployments.iter().find(|(of, _)| *of == component);
    wanted.is_some_and(|(_, wanted)| apply::is_applied(wanted, live))
}

async fn schema_progress(
    context: &Context,
    platform: &ValidatedPlatform,
    job: &str,
    migration: &Migration,
) -> Progress {
    let last_words = || migration::last_words(&context.client, &platform.namespace, job);
    match migration {
        Migration::Succeeded => Progress::Done(String::new()),
        Migration::Missing => Progress::Waiting(Problem::new(
            reasons::MIGRATION_RUNNING,
            format!("Job {job} is starting"),
        )),
        Migration::Running { failed: 0 } => {
            let said = match last_words().await {
                LastWords::CannotStart(why) => format!(": {why}"),
                // A run that goes well has nothing to say here; its log would change the status line by line.
                LastWords::Log(_) | LastWords::None => String::new(),
            };
            let message = format!("Job {job} is running{said}");
            Progress::Waiting(Problem::new(reasons::MIGRATION_RUNNING, message))
        }
        // The Job tries again, but what it says is worth knowing now.
        Migration::Running { failed } => {
            let said = last_words().await.said();
            let message = format!("Job {job} failed ({failed} attempts) and is tried again{said}");
            Progress::Failed(Problem::new(reasons::MIGRATION_FAILED, message))
        }
        Migration::Failed { .. } => {
            let said = last_words().await.said();
            let message = format!("Job {job} failed; what ran before keeps running{said}");
            Progress::Failed(Problem::new(reasons::MIGRATION_FAILED, message))
        }
    }
}
