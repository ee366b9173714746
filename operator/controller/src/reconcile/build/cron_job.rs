//! The maintenance CronJob: `wallex maintain` once an hour.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wallex_crd::names;

use super::{metadata, pod};
use crate::reconcile::validate::ValidatedPlatform;

const ROLE: &str = "maintain";
/// Seconds after which a hanging run is terminated; the next one starts afresh.
const DEADLINE_SECONDS: i64 = 1800;

/// A minute of the hour derived from the name, so that a cluster's platforms don't all start at once.
fn minute(platform: &ValidatedPlatform) -> u8 {
    blake3::hash(format!("{}/{}", platform.namespace, platform.name).as_bytes()).as_bytes()[0] % 60
}

pub(super) fn build(platform: &ValidatedPlatform) -> CronJob {
    let mut container = pod::container(platform, &platform.jobs, vec![ROLE.to_owned()], false, []);
    container.env_from = Some(pod::env_from(platform));
    let mut spec = pod::spec(platform, &platform.jobs, false, container);
    spec.restart_policy = Some("Never".to_owned());
    // The Job and its pods belong to the CronJob, not to us: they get their own labels, without "managed by".
    let labels = names::selector(&platform.name, Some(ROLE));
    CronJob {
        metadata: metadata(platform, names::maintain(&platform.name), Some(ROLE)),
        spec: CronJobSpec {
            schedule: format!("{} * * * *", minute(platform)),
            // Only set if true, so that a platform that was never suspended keeps its CronJob unchanged.
            suspend: platform.suspended.then_some(true),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(600),
            successful_jobs_history_limit: Some(1),
            failed_jobs_history_limit: Some(2),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels.clone()),
                    ..ObjectMeta::default()
                }),
                spec: Some(JobSpec {
                    backoff_limit: Some(2),
                    active_deadline_seconds: Some(DEADLINE_SECONDS),
                    template: PodTemplateSpec {
                        metadata: Some(pod::metadata(&platform.jobs, labels, BTreeMap::new())),
                        spec: Some(spec),
                    },
                    ..JobSpec::default()
                }),
            },
            ..CronJobSpec::default()
        },
        ..CronJob::default()
    }
}
