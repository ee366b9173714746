//! The ServiceAccount of a platform's pods. It has no permissions and its token is not mounted: no role talks to
//! Kubernetes.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::metadata;
use crate::reconcile::validate::ValidatedPlatform;

pub(super) fn build(platform: &ValidatedPlatform) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(platform, platform.name.clone(), None),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
