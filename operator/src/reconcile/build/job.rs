//! The migration Job. Its name is a hash of all that the migration depends on: another image, other arguments or another
//! database is another Job, the same ones are the same Job.
//!
//! Everything it needs stands in itself, not in the ConfigMap: that one changes only when the migration is done.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{config_map, metadata, pod};
use crate::names;
use crate::reconcile::validate::ValidatedPlatform;

/// Role of the Job's pods in their labels.
pub(crate) const ROLE: &str = "migrate";

/// Attempts of one Job after the first, 10, 20 and 40 seconds apart. After that the operator starts a new Job (migration.rs), so
/// that a database which was away for an hour is migrated minutes after it is back.
const RETRIES: i32 = 3;

/// Arguments of the migration.
fn args(platform: &ValidatedPlatform) -> Vec<String> {
    vec![
        "migrate".to_owned(),
        "--partitions".to_owned(),
        platform.partitions.to_string(),
    ]
}

/// The Job's name.
fn name(platform: &ValidatedPlatform) -> String {
    let args = args(platform);
    let parts = [platform.image.as_bytes(), platform.database.location.as_bytes()]
        .into_iter()
        .chain(args.iter().map(String::as_bytes));
    names::migrate(&platform.name, &names::short_hash(parts, 10))
}

pub(super) fn build(platform: &ValidatedPlatform) -> Job {
    let env = pod::env(platform, false)
        .into_iter()
        .chain(pod::plain(config_map::identity(platform)))
        .collect();
    let container = pod::container(platform, args(platform), env);
    let mut spec = pod::spec(platform, container);
    // Never: the pods of failed attempts stay, and with them the lines that say why.
    spec.restart_policy = Some("Never".to_owned());
    Job {
        metadata: metadata(platform, name(platform), Some(ROLE)),
        spec: Some(JobSpec {
            backoff_limit: Some(RETRIES),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(names::labels(&platform.name, Some(ROLE))),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}
