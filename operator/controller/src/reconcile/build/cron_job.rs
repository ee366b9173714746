//! The maintenance CronJob: `wallex maintain` once an hour.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wallex_crd::names;

use super::{metadata, pod};
use crate::reconcile::validate::ValidatedPlatform;

const ROLE: &str = "maintain";
/// Seconds after which a run that hangs is ended; the next one begins anew.
const DEADLINE_SECONDS: i64 = 1800;

/// A minute of the hour that follows from the name, so that the platforms of a cluster don't all start at once.
fn minute(platform: &ValidatedPlatform) -> u8 {
    blake3::hash(format!("{}/{}", platform.namespace, platform.name).as_bytes()).as_bytes()[0] % 60
}

pub(super) fn build(platform: &ValidatedPlatform) -> CronJob {
    let mut container = pod::container(platform, &platform.jobs, vec![ROLE.to_owned()], false, []);
    container.env_from = Some(pod::env_from(platform));
    let mut spec = pod::spec(platform, &platform.jobs, false, container);
    spec.restart_policy = Some("Never".to_owned());
    // The Job and its pods are the CronJob's, not ours: labels of their own, without "managed by".
    let labels = names::selector(&platform.name, Some(ROLE));
    CronJob {
        metadata: metadata(platform, names::maintain(&platform.name), Some(ROLE)),
        spec: CronJobSpec {
            schedule: format!("{} * * * *", minute(platform)),
            // Only said when it is so: a platform that was never suspended has the same CronJob as ever.
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
