//! The stages between validation and status, and what each leaves to say: build, topics, apply, orphans.
//!
//! Invariant: whichever stage stops, what was seen until then reaches the status.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::apply::{self, Applier, ApplyError};
use super::build::{self, Manifests};
use super::conditions::{ComponentState, Hold, Lag, Observation, Problem, Progress, reasons, types};
use super::dereference::{Dereferenced, named};
use super::migration::{self, Migration};
use super::validate::{self, ValidatedPlatform};
use super::{Context, autoscaling, pods, schema, status, topics};
use crate::crd::{SchemaStatus, WalletPlatform, WalletPlatformStatus};
use crate::names::Component;

/// While Kubernetes removes what a deleted platform of the same name left.
const PREDECESSOR: Duration = Duration::from_secs(2);

/// What the stages before the status found out.
#[derive(Default)]
pub(super) struct Line {
    pub(super) observation: Observation,
    pub(super) topics: Option<Vec<crate::kafka::Topic>>,
    pub(super) schema: Option<SchemaStatus>,
    pub(super) again: Option<Duration>,
    pub(super) error: Option<ApplyError>,
}

/// What can still be said of a platform that can't be built.
pub(super) fn stopped(platform: &WalletPlatform, found: &Dereferenced, problem: Problem) -> Line {
    let mut components = status::components(
        &platform.name_any(),
        &found.children.deployments,
        |_| 0,
        |_| None,
        |_, _| true,
    );
    pods::judge(&mut components, &found.pods, Timestamp::now());
    let again = (problem.reason == reasons::PREDECESSOR_TERMINATING).then_some(PREDECESSOR);
    Line {
        observation: Observation {
            invalid: Some(problem),
            components,
            hold: hold(platform),
            autoscaling: autoscaling::not_checked(&platform.spec),
            ..Observation::default()
        },
        again,
        ..Line::default()
    }
}

fn hold(platform: &WalletPlatform) -> Option<Hold> {
    if platform.spec.paused {
        Some(Hold::Paused)
    } else {
        platform.spec.suspended.then_some(Hold::Suspended)
    }
}

/// What can be said of a paused platform: nothing is written, and Kafka is not asked, since asking would mend its topics.
pub(super) async fn looked_at(
    context: &Arc<Context>,
    platform: &ValidatedPlatform,
    found: &Dereferenced,
    object: &WalletPlatform,
) -> Line {
    let manifests = build::run(platform);
    let job = manifests.migration.name_any();
    let remembered = object.status.as_ref().and_then(|status| status.schema.as_ref());
    let live = named(&found.children.jobs, &job);
    let migration = migration::state(&job, live, remembered, Timestamp::now());
    let schema = match &migration {
        Migration::Missing => Progress::Waiting(Problem::new(
            reasons::PAUSED,
            "the migration waits until spec.paused is false",
        )),
        Migration::Running { .. } | Migration::Failed { .. } | Migration::Succeeded => {
            schema::progress(&context.client, live, &found.pods, &job, &migration).await
        }
    };
    let deployments = &found.children.deployments;
    let components = components(context, platform, &manifests, deployments, &found.pods).await;
    Line {
        observation: Observation {
            schema,
            components,
            hold: hold(object),
            autoscaling: autoscaling::run(platform, &manifests, &found.children),
            ..Observation::default()
        },
        ..Line::default()
    }
}

async fn components(
    context: &Context,
    platform: &ValidatedPlatform,
    manifests: &Manifests,
    deployments: &[Deployment],
    pods: &[Pod],
) -> Vec<ComponentState> {
    let mut components = status::components(
        &platform.name,
        deployments,
        |component| {
            let settings = platform.component(component);
            match settings.least() {
                _ if platform.suspended => 0,
                Some(least) => least,
                None => settings.replicas,
            }
        },
        |component| platform.component(component).least(),
        |component, live| is_wanted(manifests, component, live),
    );
    let now = Timestamp::now();
    pods::judge(&mut components, pods, now);
    pods::listen(&context.client, &platform.namespace, &mut components, pods, now).await;
    components
}

/// Build, topics, apply, orphans.
pub(super) async fn stages(
    context: &Arc<Context>,
    platform: &ValidatedPlatform,
    found: &Dereferenced,
    object: &WalletPlatform,
) -> Line {
    let mut manifests = build::run(platform);
    let mut notes = without_missing_apis(&mut manifests, found);
    let children = &found.children;
    let applier = Applier {
        client: &context.client,
        writes: &context.writes,
        platform,
        children,
    };

    let job = manifests.migration.name_any();
    let remembered = object.status.as_ref().and_then(|status| status.schema.as_ref());
    let live = named(&children.jobs, &job);
    let migration = migration::state(&job, live, remembered, Timestamp::now());
    let remember = match &migration {
        Migration::Succeeded => match remembered.filter(|schema| schema.job == job) {
            Some(schema) if schema.version.is_some() => Some(schema.clone()),
            // Asked until it has said so: its log goes with its pod.
            known => {
                let told = schema::migrated(&context.client, &found.pods, &job).await;
                let known = known.map_or(platform.partitions, |schema| schema.partitions);
                Some(SchemaStatus {
                    job: job.clone(),
                    image: platform.image.clone(),
                    // An older journal may have more than was asked for; the next reconcile asks for as many.
                    partitions: told.as_ref().map_or(known, |(_, has)| known.max(*has)),
                    version: told.map(|(versions, _)| versions),
                })
            }
        },
        Migration::Missing | Migration::Running { .. } | Migration::Failed { .. } => None,
    };

    let status = object.status.clone().unwrap_or_default();
    let migrated = migration == Migration::Succeeded;
    let fence = context.writes.fence();
    let checked = context
        .topics
        .run(platform, &status.topics, migrated, fence)
        .await;

    let applied = in_order(&applier, &manifests, &migration).await;
    let (deployments, error) = match applied {
        Ok(Some(deployments)) => (deployments, None),
        Ok(None) => (children.deployments.clone(), None),
        Err(error) => (children.deployments.clone(), Some(error)),
    };
    let refused = error.as_ref().and_then(ApplyError::problem);
    let schema = schema::progress(&context.client, live, &found.pods, &job, &migration).await;
    let components = components(context, platform, &manifests, &deployments, &found.pods).await;
    let topics = topics::recreated(
        checked.progress,
        &status.topics,
        last_reason(&status, types::TOPICS_READY),
        &platform.topics[validate::EVENTS].name,
        components
            .iter()
            .any(|state| state.component == Component::Publisher && state.rolled_out),
    );
    let autoscaling = autoscaling::run(platform, &manifests, children);
    notes.extend(autoscaling::note(&autoscaling));
    let again = autoscaling::again(&autoscaling).map_or(checked.again, |soon| checked.again.min(soon));
    Line {
        observation: Observation {
            invalid: None,
            topics,
            schema,
            refused,
            components,
            hold: hold(object),
            // Read when the line is done.
            lag: Lag::NotChecked,
            autoscaling,
            notes,
        },
        topics: checked.topics,
        schema: remember,
        again: Some(again),
        error,
    }
}

/// The reason that a condition gave.
fn last_reason<'a>(status: &'a WalletPlatformStatus, type_: &str) -> Option<&'a str> {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)?;
    Some(&condition.reason)
}

/// Leaves out what the cluster has no resource for, and says so.
fn without_missing_apis(manifests: &mut Manifests, found: &Dereferenced) -> Vec<String> {
    let Some(why) = found.no_service_monitors else {
        return Vec::new();
    };
    let left_out = manifests.service_monitor.take();
    let note = |_| format!("spec.monitoring.serviceMonitor is left out, since {why}");
    left_out.into_iter().map(note).collect()
}

/// Applies in the order that apply.rs explains. None: the migration is not done yet.
async fn in_order(
    applier: &Applier<'_>,
    manifests: &Manifests,
    migration: &Migration,
) -> Result<Option<Vec<Deployment>>, ApplyError> {
    applier.migration(manifests, migration).await?;
    applier.network(manifests).await?;
    let migrated = *migration == Migration::Succeeded;
    // Pods are taken away whether or not the database is migrated.
    let deployments = match (applier.platform.suspended, migrated) {
        (true, _) => applier.stop(manifests).await?,
        (false, true) => applier.workloads(manifests).await?,
        (false, false) => return Ok(None),
    };
    if !migrated {
        return Ok(Some(deployments));
    }
    applier.monitors(manifests).await?;
    applier.orphans(manifests).await?;
    Ok(Some(deployments))
}

/// Whether a live Deployment has the template that is wanted.
fn is_wanted(manifests: &Manifests, component: Component, live: &Deployment) -> bool {
    let wanted = manifests.deployments.iter().find(|(of, _)| *of == component);
    wanted.is_some_and(|(_, wanted)| apply::is_applied(wanted, live))
}
