//! One reconcile: the line of stages from a `WalletPlatform` to its children and its status.
//!
//! `dereference` reads → `validate` proves → `build` makes manifests → topics, then `apply` in order → orphans →
//! `projections` → `conditions` → `status`. Each stage's module says what it may and may not do.
//!
//! Invariants: the status is brought up to date whatever stage stopped, so that a platform always says why it is not ready;
//! a second run on an unchanged world writes nothing; a platform that is being deleted is left to
//! Kubernetes' garbage collection, but for its topics (`deletion`).

pub mod build;
mod children;
pub mod claims;
pub mod conditions;
mod deletion;
pub mod dereference;
pub mod drift;
mod finalizer;
mod line;
pub mod observe;
pub mod stages;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Client, Resource as _, ResourceExt as _};
use wallex_crd::WalletPlatform;

use crate::backoff;
use crate::metrics::{Metrics, Outcome};
use crate::rivals::Rivals;
use crate::scope::Scope;
use crate::writes::{WriteError, Writes};
use conditions::{Observation, Problem, Reason};
use dereference::Dereferenced;
use line::Line;
use observe::lag::Readings;
use stages::apply::ApplyError;
use stages::topics::TopicChecks;
use status::Seen;
use validate::ValidatedPlatform;

/// While something is under way that no watch reports, such as a pod that can't pull its image.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// While all is well: the watches report changes, this is for what they might miss.
const RESYNC: Duration = Duration::from_secs(300);

/// What reconciles need, shared by all of them.
pub struct Context {
    pub client: Client,
    pub writes: Writes,
    pub metrics: Metrics,
    pub topics: TopicChecks,
    pub projections: Readings,
    /// Uid of the namespace kube-system.
    pub cluster: String,
    /// Where the platforms are that this operator runs.
    pub scopes: Vec<Scope>,
    /// Other operators that run the same platforms.
    pub rivals: Rivals,
    /// The namespace that this operator's Lease is in.
    pub installation: String,
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
    #[error("deletion: {0}")]
    Finalizer(#[source] WriteError),
    #[error("the topics can't be deleted: {0}")]
    Topics(String),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Read(Box::new(error))
    }
}

/// Reconciles the platform of that name.
///
/// # Errors
/// When the API server fails or refuses; the status says so too, where it can.
pub async fn platform(
    context: &Arc<Context>,
    namespace: &str,
    name: &str,
) -> Result<(Action, Outcome), Error> {
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
        return deletion::advance(context, &platform).await;
    }

    let found = dereference::everything(&context.client, &platform).await?;
    let validated = validated(context, &platform, &found).await;
    if validated.is_ok() && !platform.spec.paused {
        finalizer::follow_policy(context, &platform).await?;
    }
    let line = match validated {
        Ok((validated, _)) if platform.spec.paused => {
            line::looked_at(context, &validated, &found, &platform).await
        }
        Ok((validated, others)) => line::stages(context, &validated, &found, &platform, &others).await,
        Err(problem) => line::stopped(&platform, &found, problem),
    };
    let Line {
        mut observation,
        seen,
        again,
        error,
    } = line;
    let reading = context.projections.of(&platform, &observation.components).await;
    observation.lag = reading.lag;
    observation.events = reading.events;
    if let Some(error) = error.as_ref().filter(|error| error.problem().is_none()) {
        // It says nothing about the platform, so neither does the status.
        tracing::debug!(%error, "stopped");
    } else {
        report(context, &platform, &observation, seen).await?;
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
        .into_iter()
        .chain(reading.again)
        .fold(plain, Duration::min)
        .max(Duration::from_millis(500));
    Ok((Action::requeue(backoff::period(again)), outcome))
}

/// Writes the status and reports a transition, if there is anything new.
async fn report(
    context: &Context,
    platform: &WalletPlatform,
    observation: &Observation,
    seen: Seen,
) -> Result<(), Error> {
    let status = status::next(platform, observation, seen, Timestamp::now());
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

async fn validated(
    context: &Context,
    platform: &WalletPlatform,
    found: &Dereferenced,
) -> Result<(ValidatedPlatform, Vec<WalletPlatform>), Problem> {
    let uid = platform.uid().unwrap_or_default();
    if let Some(child) = children::predecessor(&found.children, &platform.name_any(), &uid) {
        return Err(Problem::new(
            Reason::PredecessorTerminating,
            format!("waiting until Kubernetes has removed {child} of the deleted platform of the same name"),
        ));
    }
    let validated = validate::platform(platform, found, &context.cluster)?;
    let others = claims::others(&context.client, &context.scopes, platform).await;
    match claims::taken(platform, &others, None) {
        Some(problem) => Err(problem),
        None => Ok((validated, others)),
    }
}
