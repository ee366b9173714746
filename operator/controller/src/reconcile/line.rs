//! The stages between validation and status, and what each leaves to say: build, topics, apply, orphans.
//!
//! Invariant: whichever stage stops, what was seen until then reaches the status.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use wallex_crd::children::named;
use wallex_crd::names::{self, Component};
use wallex_crd::{JournalStatus, KafkaStatus, SchemaStatus, WalletPlatform, WalletPlatformStatus};

use super::Context;
use super::build::{self, Manifests};
use super::conditions::{ComponentState, Hold, Lag, Observation, Problem, Progress, Reason, types};
use super::dereference::Dereferenced;
use super::drift::{self, Found};
use super::observe::{autoscaling, migration as schema, pods, zero};
use super::stages::apply::{self, Applier, ApplyError, Report};
use super::stages::gate::{Gate, gate, kept};
use super::stages::migrate::{self, Migration};
use super::stages::topics;
use super::status::{self, Seen};
use super::validate::ValidatedPlatform;
use crate::writes::WINDOW;

/// While Kubernetes removes what a deleted platform of the same name left.
const PREDECESSOR: Duration = Duration::from_secs(2);

/// What the stages before the status found out.
#[derive(Default)]
pub(super) struct Line {
    pub(super) observation: Observation,
    pub(super) seen: Seen,
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
    let again = (problem.reason == Reason::PredecessorTerminating).then_some(PREDECESSOR);
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
    let manifests = build::manifests(platform);
    let job = manifests.migration.name_any();
    let remembered = object.status.as_ref().and_then(|status| status.schema.as_ref());
    let live = named(&found.children.jobs, &job);
    let migration = migrate::state(&job, live, remembered, Timestamp::now());
    let schema = match &migration {
        Migration::Missing => Progress::Waiting(Problem::new(
            Reason::Paused,
            "the migration waits until spec.paused is false",
        )),
        Migration::Running { .. } | Migration::Failed { .. } | Migration::Succeeded => {
            schema::progress(&context.client, live, &found.pods, &job, &migration).await
        }
    };
    let deployments = &found.children.deployments;
    let components = components(context, platform, &manifests, deployments, &found.pods).await;
    let notes = apply::edited(&manifests, &found.children);
    Line {
        observation: Observation {
            schema,
            components,
            hold: hold(object),
            autoscaling: autoscaling::verdict(platform, &manifests, &found.children),
            notes: notes.iter().map(left_alone).collect(),
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
    if !platform.suspended {
        for state in &mut components {
            state.problem = state.problem.take().or_else(|| zero::problem(platform, state));
        }
    }
    components
}

/// Build, topics, apply, orphans.
pub(super) async fn stages(
    context: &Arc<Context>,
    platform: &ValidatedPlatform,
    found: &Dereferenced,
    object: &WalletPlatform,
    others: &[WalletPlatform],
) -> Line {
    let mut manifests = build::manifests(platform);
    let mut notes = without_missing_apis(&mut manifests, found);
    let children = &found.children;
    let applier = Applier {
        client: &context.client,
        writes: &context.writes,
        platform,
        children,
        report: Mutex::default(),
    };

    let job = manifests.migration.name_any();
    let remembered = object.status.as_ref().and_then(|status| status.schema.as_ref());
    let live = named(&children.jobs, &job);
    let migration = migrate::state(&job, live, remembered, Timestamp::now());
    let told = match remembered.filter(|schema| schema.job == job) {
        // Asked until it has said so: its log goes with its pod.
        Some(SchemaStatus { version: Some(_), .. }) => None,
        Some(_) | None if migration == Migration::Succeeded => {
            schema::migrated(&context.client, &found.pods, &job).await
        }
        Some(_) | None => None,
    };
    let mut remember = match &migration {
        Migration::Succeeded => match remembered.filter(|schema| schema.job == job) {
            Some(schema) if schema.version.is_some() => Some(schema.clone()),
            known => {
                let known = known.map_or(platform.partitions, |schema| schema.partitions);
                Some(SchemaStatus {
                    job: job.clone(),
                    image: platform.image.clone(),
                    // An older journal may have more than was asked for; the next reconcile asks for as many.
                    partitions: told.as_ref().map_or(known, |told| known.max(told.partitions)),
                    version: told.as_ref().map(|told| told.versions.clone()),
                    migrated_again_at: remembered.and_then(|schema| schema.migrated_again_at.clone()),
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
        .ensure(platform, object, others, migrated, fence)
        .await;
    let gate = gate(&checked.progress, &manifests, found);

    let applied = in_order(&applier, &manifests, &migration, gate).await;
    let deployments = applied.unwrap_or_else(|| children.deployments.clone());
    let report = applier
        .report
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    tell_put_back(context, object, &report).await;
    let refused = report.problem().or_else(|| in_force(&report));
    notes.extend(report.left.iter().map(left));
    notes.extend(report.fought.iter().map(fought));
    let fights = !report.fought.is_empty();
    notes.extend(context.rivals.note(&context.installation, &platform.namespace));
    let error = report.into_error();
    let schema = schema::progress(&context.client, live, &found.pods, &job, &migration).await;
    let mut schema = schema::way_out(platform, schema);
    let components = components(context, platform, &manifests, &deployments, &found.pods).await;
    if let Some(problem) = schema::missing(&components).filter(|_| migrated) {
        schema = Progress::Failed(problem);
        remember = remember.map(|known| schema::again(known, Timestamp::now()));
    }
    let topics = topics::recreated(
        kept(checked.progress, gate),
        &status.topics,
        last_reason(&status, types::TOPICS_READY),
        &platform.topics.events.name,
        components
            .iter()
            .any(|state| state.component == Component::Publisher && state.rolled_out),
    );
    let autoscaling = autoscaling::verdict(platform, &manifests, children);
    notes.extend(autoscaling::note(&autoscaling));
    notes.extend(zero::note(platform, &components));
    let again = autoscaling::again(&autoscaling)
        .into_iter()
        .chain(fights.then_some(WINDOW))
        .fold(checked.again, Duration::min);
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
            events: None,
            autoscaling,
            notes,
        },
        seen: Seen {
            kafka: checked.cluster.map(|cluster_id| KafkaStatus {
                bootstrap_servers: platform.kafka.bootstrap_servers.clone(),
                cluster_id,
            }),
            topics: checked.topics,
            schema: remember,
            journal: told.and_then(|told| {
                Some(JournalStatus {
                    id: Some(told.journal?),
                    events: told.events,
                    seen_at: None,
                })
            }),
        },
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

/// Applies in the order that apply.rs explains. None: the migration is not done yet, or the gate is not open.
async fn in_order(
    applier: &Applier<'_>,
    manifests: &Manifests,
    migration: &Migration,
    gate: Gate,
) -> Option<Vec<Deployment>> {
    if gate == Gate::Shut {
        return None;
    }
    applier.migration(manifests, migration).await;
    let migrated = *migration == Migration::Succeeded;
    let follow = migrated && gate == Gate::Open;
    applier.network(manifests, follow).await;
    // Pods are taken away whether or not the database is migrated.
    let deployments = match (applier.platform.suspended, follow) {
        (true, _) => applier.stop(manifests).await,
        (false, true) => applier.workloads(manifests).await,
        (false, false) => return None,
    };
    if !migrated {
        return Some(deployments);
    }
    applier.monitors(manifests).await;
    applier.orphans(manifests).await;
    Some(deployments)
}

/// What others did to a child of a paused platform.
fn left_alone((child, found): &(String, Vec<Found>)) -> String {
    format!("{child} was changed by hand: {}", drift::shown(found))
}

/// What others did to a child, and stays.
fn left((child, found): &(String, Vec<Found>)) -> String {
    format!("{child} keeps what others added: {}", drift::shown(found))
}

/// What somebody changes again and again.
fn fought((child, found): &(String, Vec<Found>)) -> String {
    format!(
        "{child} is changed repeatedly by somebody else; the operator limits how often it changes it back: {}",
        drift::shown(found)
    )
}

/// Variables of the operator's own that somebody else gives a value, and that are not taken away: an admission webhook, or another controller, sets them anew.
fn in_force(report: &Report) -> Option<Problem> {
    let is_owned = |found: &&Found| {
        names::OWNED_VARIABLES.iter().any(|variable| {
            found.path.contains(&format!(".env[{variable}]")) || found.path == format!("data.{variable}")
        })
    };
    let told = report
        .fought
        .iter()
        .chain(&report.left)
        .find_map(|(child, found)| {
            let owned: Vec<Found> = found.iter().filter(is_owned).cloned().collect();
            (!owned.is_empty()).then(|| format!("{child}: {}", drift::shown(&owned)))
        })?;
    Some(Problem::new(
        Reason::ForeignEdits,
        format!(
            "{told} overrides variables that the operator sets, and returns whenever the operator removes it: fix whatever writes it"
        ),
    ))
}

/// Says, as an Event, whose changes were put back.
async fn tell_put_back(context: &Context, object: &WalletPlatform, report: &Report) {
    for (child, found) in &report.put_back {
        let (kind, name) = child.split_once(' ').unwrap_or_default();
        // Events that differ in their message alone are taken for one that is repeated.
        let related = ObjectReference {
            kind: Some(kind.to_owned()),
            name: Some(name.to_owned()),
            namespace: object.namespace(),
            field_path: found.first().map(|found| found.path.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: Reason::HandEditPutBack.as_str().to_owned(),
            note: Some(format!(
                "{child} was changed by hand and has been changed back: {}; make the change in the WalletPlatform's spec",
                drift::shown(found)
            )),
            action: "Reconcile".to_owned(),
            secondary: Some(related),
        };
        context.writes.event(&object.object_ref(&()), &event).await;
    }
}

/// Whether a live Deployment has the template that is wanted.
fn is_wanted(manifests: &Manifests, component: Component, live: &Deployment) -> bool {
    let wanted = manifests.deployments.iter().find(|(of, _)| *of == component);
    wanted.is_some_and(|(_, wanted)| apply::is_applied(wanted, live))
}
