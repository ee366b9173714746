//! The migration Job. Its name contains a hash of everything the migration depends on: another image, other arguments or
//! another database mean another Job, the same ones the same Job.
//!
//! It contains everything it needs, without the ConfigMap, which changes only once the migration is done.
//!
//! It gets what the platform is known to have written, so that it refuses a database that lacks it. This is not part of the
//! name: it grows while the migration stays the same.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{EnvVar, PodTemplateSpec};
use wallex_crd::names;

use super::{config_map, metadata, pod};
use crate::reconcile::validate::ValidatedPlatform;

/// Role label of the Job's pods.
pub(crate) const ROLE: &str = "migrate";

/// Arguments of the migration.
fn args(platform: &ValidatedPlatform) -> Vec<String> {
    vec![
        "migrate".to_owned(),
        "--partitions".to_owned(),
        platform.partitions.to_string(),
    ]
}

/// What the platform has written. Passed as variables, because an image that does not know them ignores them.
fn history(platform: &ValidatedPlatform) -> BTreeMap<&'static str, String> {
    let Some(history) = &platform.history else {
        return BTreeMap::new();
    };
    let mut told = BTreeMap::from([(names::EXPECT_EVENTS, history.events.to_string())]);
    if let Some(id) = &history.journal {
        told.insert(names::EXPECT_JOURNAL, id.clone());
    }
    told
}

/// Whether a migration refuses a database that lacks what the platform has written.
pub fn expects_history(job: &Job) -> bool {
    env(job).any(|variable| variable.name == names::EXPECT_EVENTS)
}

/// `wanted` with the history that `live` was created with: the history grows, but a Job can't be changed.
pub fn told_as(wanted: &Job, live: &Job) -> Job {
    let is_history =
        |variable: &EnvVar| [names::EXPECT_EVENTS, names::EXPECT_JOURNAL].contains(&variable.name.as_str());
    let told: Vec<EnvVar> = env(live)
        .filter(|variable| is_history(variable))
        .cloned()
        .collect();
    let mut told_as = wanted.clone();
    let pod = told_as.spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
    for container in pod.into_iter().flat_map(|pod| &mut pod.containers) {
        let env = container.env.get_or_insert_default();
        env.retain(|variable| !is_history(variable));
        env.extend(told.iter().cloned());
    }
    told_as
}

fn env(job: &Job) -> impl Iterator<Item = &EnvVar> {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
    containers.iter().flat_map(|container| &container.env).flatten()
}

/// The Job's name. Other pod settings count too: a Job that can't be scheduled can only be replaced by another one.
fn name(platform: &ValidatedPlatform) -> String {
    let args = args(platform);
    let read = platform.database.read.as_ref().map(|read| &read.location);
    let access = pod::access(platform);
    let parts = [&platform.image, &platform.database.location]
        .into_iter()
        .chain(&args)
        .chain(read)
        .chain(&platform.jobs.stated)
        .chain(&access)
        .chain(&platform.migrate_again)
        .map(String::as_bytes);
    names::migrate(&platform.name, &names::short_hash(parts, 10))
}

pub(super) fn build(platform: &ValidatedPlatform) -> Job {
    let own = pod::plain(config_map::identity(platform)).chain(pod::plain(history(platform)));
    let container = pod::container(platform, &platform.jobs, args(platform), false, own);
    let mut spec = pod::spec(platform, &platform.jobs, false, container);
    // Never: the pods of failed attempts stay, and with them the logs that say why.
    spec.restart_policy = Some("Never".to_owned());
    let limits = platform.database.migration;
    let labels = names::labels(&platform.name, Some(ROLE));
    Job {
        metadata: metadata(platform, name(platform), Some(ROLE)),
        spec: Some(JobSpec {
            backoff_limit: Some(limits.backoff_limit),
            active_deadline_seconds: limits.active_deadline_seconds,
            template: PodTemplateSpec {
                metadata: Some(pod::metadata(&platform.jobs, labels, BTreeMap::new())),
                spec: Some(spec),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}
