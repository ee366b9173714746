//! The finalizer that keeps a platform's object until its topics are gone (`deletion`).
//!
//! Invariant: it is set only while the topics are to be deleted with the platform.

use kube::ResourceExt as _;
use wallex_crd::names::TOPICS_FINALIZER;
use wallex_crd::{DeletionPolicy, WalletPlatform};

use super::{Context, Error};

/// Sets it while topics are to be deleted with the platform, and removes it otherwise.
pub(super) async fn follow_policy(context: &Context, platform: &WalletPlatform) -> Result<(), Error> {
    let wanted = platform.spec.kafka.topics.deletion_policy == DeletionPolicy::Delete;
    if wanted == has(platform) {
        return Ok(());
    }
    set(context, platform, wanted).await
}

/// Whether the platform has it.
pub(super) fn has(platform: &WalletPlatform) -> bool {
    platform
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == TOPICS_FINALIZER)
}

/// Sets or removes it; other finalizers stay.
pub(super) async fn set(context: &Context, platform: &WalletPlatform, wanted: bool) -> Result<(), Error> {
    let mut finalizers: Vec<String> = platform
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != TOPICS_FINALIZER)
        .cloned()
        .collect();
    if wanted {
        finalizers.push(TOPICS_FINALIZER.to_owned());
    }
    context
        .writes
        .finalizers(platform, &finalizers)
        .await
        .map_err(Error::Finalizer)
}
