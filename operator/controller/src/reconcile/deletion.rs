//! What happens to a deleted platform's topics: nothing with `Retain`; with `Delete`, a finalizer (`finalizer`) keeps the object
//! until its topics are gone.
//!
//! Order: workloads first, or a pod that still runs could make a broker with auto-creation recreate its topic. Invariant: only
//! topics that were created for this platform, and that no other platform owns, are deleted. A deletion that can't be done is
//! reported, and ends when the annotation [`ABANDON_TOPICS`] is set, so it never blocks an object forever against its owner's
//! will.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use wallex_crd::children::Child;
use wallex_crd::foreign::ScaledObject;
use wallex_crd::names::{self, ABANDON_TOPICS};
use wallex_crd::{DeletionPolicy, WalletPlatform};

use super::children::{Ownership, ownership};
use super::conditions::{Problem, Reason, Seen};
use super::dereference::{self, Dereferenced};
use super::{Context, Error, claims, finalizer, observe, status, validate};
use crate::kafka::Removal;
use crate::metrics::Outcome;
use crate::writes::WriteError;

/// Between two checks for terminating pods.
const AGAIN: Duration = Duration::from_secs(2);
/// How long to wait for pods. A pod on a lost node never ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// Advances the deletion of `platform`.
pub(super) async fn advance(
    context: &Arc<Context>,
    platform: &WalletPlatform,
) -> Result<(Action, Outcome), Error> {
    let done = Ok((Action::await_change(), Outcome::Settled));
    if !finalizer::has(platform) {
        return done;
    }
    if platform.spec.kafka.topics.deletion_policy == DeletionPolicy::Retain {
        finalizer::set(context, platform, false).await?;
        return done;
    }
    if platform
        .annotations()
        .get(ABANDON_TOPICS)
        .is_some_and(|value| value == "true")
    {
        let note = format!(
            "the topics are left in Kafka, as {ABANDON_TOPICS} says: {}",
            topics(platform).join(", ")
        );
        event(
            context,
            platform,
            EventType::Warning,
            Reason::TopicsAbandoned,
            note,
        )
        .await;
        finalizer::set(context, platform, false).await?;
        return done;
    }

    let found = dereference::everything(&context.client, platform).await?;
    if platform.spec.paused {
        let message = "spec.paused is true, so nothing is deleted: set it to false";
        return wait(context, platform, &found, message.to_owned()).await;
    }
    stop(context, platform, &found).await.map_err(Error::Finalizer)?;
    if !found.pods.is_empty() && !waited_long(platform) {
        let message = format!("waiting until {} pods have ended", found.pods.len());
        return wait(context, platform, &found, message).await;
    }
    match delete_topics(context, platform, &found).await {
        Ok(deleted) => {
            let mut left = topics(platform);
            left.retain(|topic| !deleted.contains(topic));
            if !deleted.is_empty() {
                let note = format!("deleted from Kafka: {}", deleted.join(", "));
                let (normal, reason) = (EventType::Normal, Reason::TopicsDeleted);
                event(context, platform, normal, reason, note).await;
            }
            if !left.is_empty() {
                let note = format!(
                    "left in Kafka, since they were not created for this platform: {}",
                    left.join(", ")
                );
                let (warning, reason) = (EventType::Warning, Reason::TopicsAbandoned);
                event(context, platform, warning, reason, note).await;
            }
            finalizer::set(context, platform, false).await?;
            done
        }
        Err(why) => {
            let message = format!(
                "the topics can't be deleted: {why}. The operator keeps trying; to remove the object and keep the topics: kubectl annotate \
                 walletplatform {} -n {} {ABANDON_TOPICS}=true",
                platform.name_any(),
                platform.namespace().unwrap_or_default()
            );
            let problem = Problem::new(Reason::TopicDeletionFailed, message);
            say(context, platform, &found, problem).await?;
            // An error, so that attempts back off.
            Err(Error::Topics(why))
        }
    }
}

async fn wait(
    context: &Context,
    platform: &WalletPlatform,
    found: &Dereferenced,
    message: String,
) -> Result<(Action, Outcome), Error> {
    say(context, platform, found, Problem::new(Reason::Deleting, message)).await?;
    Ok((Action::requeue(AGAIN), Outcome::Waiting))
}

/// Reports in the status what blocks the deletion.
async fn say(
    context: &Context,
    platform: &WalletPlatform,
    found: &Dereferenced,
    problem: Problem,
) -> Result<(), Error> {
    let mut seen = Seen::of(platform);
    observe::unbuilt(platform, found, problem, &mut seen);
    status::write(context, platform, &seen).await
}

/// Deletes workloads and their autoscalers.
async fn stop(context: &Context, platform: &WalletPlatform, found: &Dereferenced) -> Result<(), WriteError> {
    // Autoscalers go first.
    delete_all::<ScaledObject>(context, platform, found).await?;
    delete_all::<HorizontalPodAutoscaler>(context, platform, found).await?;
    delete_all::<Deployment>(context, platform, found).await?;
    delete_all::<CronJob>(context, platform, found).await?;
    delete_all::<Job>(context, platform, found).await
}

async fn delete_all<K: Child>(
    context: &Context,
    platform: &WalletPlatform,
    found: &Dereferenced,
) -> Result<(), WriteError> {
    let (name, uid) = (platform.name_any(), platform.uid().unwrap_or_default());
    for child in K::of(&found.children) {
        let is_ours = ownership(child.meta(), &name, &uid) == Ownership::Ours;
        if is_ours && child.meta().deletion_timestamp.is_none() {
            context.writes.delete(child).await?;
        }
    }
    Ok(())
}

fn waited_long(platform: &WalletPlatform) -> bool {
    let since = platform.metadata.deletion_timestamp.as_ref();
    since.is_some_and(|since| {
        let waited = Timestamp::now().duration_since(since.0);
        Duration::try_from(waited).unwrap_or_default() >= PATIENCE
    })
}

/// The topics that the platform had.
fn topics(platform: &WalletPlatform) -> Vec<String> {
    let rows = platform.status.iter().flat_map(|status| &status.topics);
    rows.map(|row| row.name.clone()).collect()
}

async fn delete_topics(
    context: &Context,
    platform: &WalletPlatform,
    found: &Dereferenced,
) -> Result<Vec<String>, String> {
    let status = platform.status.clone().unwrap_or_default();
    if status.topics.is_empty() {
        return Ok(Vec::new());
    }
    let others = claims::others(&context.client, &context.scopes, platform).await;
    let cluster = status.kafka.as_ref().map(|kafka| kafka.cluster_id.as_str());
    let ours = status
        .topics
        .iter()
        .filter(|row| claims::owner(&row.name, platform, &others, cluster).is_none());
    let namespace = platform.namespace().unwrap_or_default();
    let removal = Removal {
        topics: ours.map(|row| (row.name.clone(), row.created)).collect(),
        owner: names::platform_id(&context.cluster, &namespace, &platform.name_any()),
    };
    let connection = validate::connection(platform, found).map_err(|problem| problem.message)?;
    let deleted = context.topics.delete(connection, removal, context.writes.fence());
    deleted.await.map_err(|error| error.to_string())
}

async fn event(context: &Context, platform: &WalletPlatform, type_: EventType, reason: Reason, note: String) {
    let event = Event {
        type_,
        reason: reason.as_str().to_owned(),
        note: Some(note),
        action: "Delete".to_owned(),
        secondary: None,
    };
    context.writes.event(&platform.object_ref(&()), &event).await;
}
