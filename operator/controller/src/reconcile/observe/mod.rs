//! Observes a platform after the stages have run, one file per part of the status. Nothing here writes; apart from what the
//! status remembers, no decision depends on it.

pub mod autoscaling;
mod components;
mod edits;
pub mod lag;
pub(super) mod migration;
pub mod pods;
pub(super) mod topics;
pub mod words;
mod zero;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use wallex_crd::WalletPlatform;
use wallex_domain::Migrated;

use super::Pass;
use super::build::Manifests;
use super::conditions::{Problem, Progress, Reason, Seen};
use super::dereference::Dereferenced;
use super::stages::migrate::{Migration, Standing};

/// Interval while Kubernetes removes the remains of a deleted platform of the same name.
const PREDECESSOR: Duration = Duration::from_secs(2);

/// What can still be observed of a platform that can't be built.
pub(super) fn unbuilt(platform: &WalletPlatform, found: &Dereferenced, problem: Problem, seen: &mut Seen) {
    seen.components = components::plain(&platform.name_any(), &found.children.deployments);
    pods::judge(&mut seen.components, &found.pods, Timestamp::now());
    seen.autoscaling = autoscaling::not_checked(&platform.spec);
    if problem.reason == Reason::PredecessorTerminating {
        seen.look_again(PREDECESSOR);
    }
    seen.invalid = Some(problem);
}

/// Observes a paused platform: writes nothing, and does not ask Kafka, because that would also correct its topics.
pub(super) async fn paused(pass: &Pass<'_>, manifests: &Manifests, seen: &mut Seen) {
    let migration = Standing::of(pass, manifests);
    seen.schema = match migration.state {
        Migration::Missing => Progress::Waiting(Problem::new(
            Reason::Paused,
            "the migration waits until spec.paused is false",
        )),
        Migration::Running { .. } | Migration::Failed { .. } | Migration::Succeeded => {
            migration::progress(pass, &migration).await
        }
    };
    let children = &pass.found.children;
    seen.components = components::of(pass, manifests, &children.deployments).await;
    seen.autoscaling = autoscaling::verdict(pass.platform, manifests, children);
    seen.notes.extend(edits::notes(manifests, children));
}

/// Observes a platform that the stages worked on. `deployments` are as they left them.
pub(super) async fn worked_on(
    pass: &Pass<'_>,
    manifests: &Manifests,
    migration: &Standing<'_>,
    told: Option<Migrated>,
    deployments: &[Deployment],
    seen: &mut Seen,
) {
    seen.schema = migration::way_out(pass.platform, migration::progress(pass, migration).await);
    seen.components = components::of(pass, manifests, deployments).await;
    migration::remember(pass, migration, told, seen);
    topics::see(pass, seen);
    seen.autoscaling = autoscaling::verdict(pass.platform, manifests, &pass.found.children);
    seen.notes.extend(autoscaling::note(&seen.autoscaling));
    seen.notes.extend(zero::note(pass.platform, &seen.components));
    if let Some(after) = autoscaling::again(&seen.autoscaling) {
        seen.look_again(after);
    }
}
