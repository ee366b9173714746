//! One reconcile: the pipeline of stages from a `WalletPlatform` to its children and its status.
//!
//! `dereference` reads → `validate` proves → `build` makes manifests → `stages` write: topics, migration, everything else in
//! order, and remove what is no longer wanted → `observe` checks the result → `conditions` and `status` report it. Each module
//! says what it may and may not do.
//!
//! Invariants: the status is updated whichever stage stopped, so a platform always says why it is not ready; a second run
//! on an unchanged world writes nothing; a platform that is being deleted is left to Kubernetes' garbage collection, except
//! for its topics (`deletion`).

pub mod build;
mod children;
pub mod claims;
pub mod conditions;
mod deletion;
pub mod dereference;
pub mod drift;
mod finalizer;
pub mod observe;
pub mod stages;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Client, ResourceExt as _};
use wallex_crd::WalletPlatform;

use crate::backoff;
use crate::metrics::{Metrics, Outcome};
use crate::rivals::Rivals;
use crate::scope::Scope;
use crate::writes::{WriteError, Writes};
use conditions::{Problem, Reason, Seen};
use dereference::Dereferenced;
use observe::lag::Readings;
use stages::migrate::Standing;
use stages::report::ApplyError;
use stages::topics::TopicChecks;
use validate::ValidatedPlatform;

/// Interval while something is under way that no watch reports, such as a pod that can't pull its image.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// Interval while all is well: the watches report changes, this catches what they might miss.
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
    /// Where this operator's platforms are.
    pub scopes: Vec<Scope>,
    /// Other operators that run the same platforms.
    pub rivals: Rivals,
    /// The namespace of this operator's Lease.
    pub installation: String,
}

/// A valid platform on its way through the stages, with everything that was read.
struct Pass<'a> {
    context: &'a Context,
    /// The object as read. Its spec is in `platform`; this one is for status and annotations.
    object: &'a WalletPlatform,
    found: &'a Dereferenced,
    platform: &'a ValidatedPlatform,
    /// The other platforms, which may name the same topics.
    others: &'a [WalletPlatform],
}

/// Why a reconcile must be retried.
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
/// When the API server fails or refuses; the status says so too, if possible.
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
    let mut seen = Seen::of(&platform);
    let error = match validated(context, &platform, &found).await {
        Err(problem) => {
            observe::unbuilt(&platform, &found, problem, &mut seen);
            None
        }
        Ok((valid, others)) => {
            if !platform.spec.paused {
                finalizer::follow_policy(context, &platform).await?;
            }
            let pass = Pass {
                context,
                object: &platform,
                found: &found,
                platform: &valid,
                others: &others,
            };
            through_the_stages(&pass, &mut seen).await
        }
    };
    observe::lag::see(context, &platform, &mut seen).await;

    if let Some(error) = error.as_ref().filter(|error| error.problem().is_none()) {
        // This error says nothing about the platform, so the status stays as it is.
        tracing::debug!(%error, "stopped");
    } else {
        status::write(context, &platform, &seen).await?;
    }
    match error {
        Some(error) => Err(error.into()),
        None => Ok(when_again(&seen)),
    }
}

/// Moves the platform towards its desired state as far as possible now, and observes the result. Returns what could not be
/// written.
async fn through_the_stages(pass: &Pass<'_>, seen: &mut Seen) -> Option<ApplyError> {
    let mut manifests = build::manifests(pass.platform);
    if pass.object.spec.paused {
        observe::paused(pass, &manifests, seen).await;
        return None;
    }
    seen.notes
        .extend(manifests.leave_out_unserved(pass.found.no_service_monitors));
    let migration = Standing::of(pass, &manifests);
    let told = observe::migration::told(pass, &migration);
    let topics = stages::topics::ensure(pass, migration.is_done(), seen).await;
    let gate = stages::gate::gate(&topics, &manifests, pass.found);
    seen.topics = stages::gate::kept(topics, gate);
    let applied = stages::apply::all(pass, &manifests, &migration.state, gate).await;
    let error = stages::report::tell(pass, applied.report, seen).await;
    let rivals = &pass.context.rivals;
    seen.notes
        .extend(rivals.note(&pass.context.installation, &pass.platform.namespace));
    observe::worked_on(pass, &manifests, &migration, told, &applied.deployments, seen).await;
    error
}

/// Whatever is due first; never immediately, or a deadline that just passed would spin.
fn when_again(seen: &Seen) -> (Action, Outcome) {
    let (plain, outcome) = if seen.is_ready() {
        (RESYNC, Outcome::Settled)
    } else {
        (UNDER_WAY, Outcome::Waiting)
    };
    let again = seen.again.map_or(plain, |again| again.min(plain));
    let again = again.max(Duration::from_millis(500));
    (Action::requeue(backoff::period(again)), outcome)
}

/// The validated platform and the other platforms, or why it can't be built.
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
