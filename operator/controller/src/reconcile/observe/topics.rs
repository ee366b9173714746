//! What is reported about the topics beyond Kafka's own findings. Pure.

use wallex_crd::{Component, TopicStatus, WalletPlatformStatus};

use crate::reconcile::Pass;
use crate::reconcile::conditions::{Problem, Progress, Reason, Seen, types};

/// Reports what became of topics that were gone. Reads the components, so those must be observed first.
pub(in crate::reconcile) fn see(pass: &Pass<'_>, seen: &mut Seen) {
    let status = pass.object.status.clone().unwrap_or_default();
    let publisher_is_new = seen
        .components
        .iter()
        .any(|state| state.component == Component::Publisher && state.rolled_out);
    seen.topics = recreated(
        std::mem::take(&mut seen.topics),
        &status.topics,
        last_reason(&status, types::TOPICS_READY),
        &pass.platform.topics.events.name,
        publisher_is_new,
    );
}

/// The last reason of a condition.
fn last_reason<'a>(status: &'a WalletPlatformStatus, type_: &str) -> Option<&'a str> {
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)?;
    Some(&condition.reason)
}

/// Reports recreated topics as having been gone until the publisher has restarted on the new one. `rows` and `last` (the
/// reason of TopicsReady) come from the previous status.
fn recreated(
    progress: Progress,
    rows: &[TopicStatus],
    last: Option<&str>,
    events: &str,
    publisher_is_new: bool,
) -> Progress {
    match progress {
        Progress::Done(_) => {}
        Progress::NotChecked | Progress::Waiting(_) | Progress::Failed(_) => return progress,
    }
    if let Some(row) = rows.iter().find(|row| row.missing_since.is_some()) {
        return Progress::Failed(recreation(&row.name, events));
    }
    let waits = last == Some(Reason::TopicRecreated.as_str())
        && !publisher_is_new
        && rows
            .iter()
            .any(|row| row.name == events && row.recreated_at.is_some());
    if waits {
        Progress::Failed(recreation(events, events))
    } else {
        progress
    }
}

fn recreation(topic: &str, events: &str) -> Problem {
    let filled = if topic == events {
        "the publisher starts again and fills it from the journal, from the first event on"
    } else {
        "what it held is gone from Kafka; the projections still hold the rows"
    };
    Problem::new(
        Reason::TopicRecreated,
        format!("topic {topic} was missing and has been recreated: {filled}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(missing: bool) -> TopicStatus {
        let at = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        TopicStatus {
            name: "events".to_owned(),
            missing_since: missing.then(|| at.clone()),
            recreated_at: (!missing).then_some(at),
            ..TopicStatus::default()
        }
    }

    /// Whether to report that a topic which is fine now was gone.
    fn is_told(missing: bool, last: &str, publisher_is_new: bool) -> bool {
        let done = Progress::Done(String::new());
        let told = recreated(done, &[row(missing)], Some(last), "events", publisher_is_new);
        matches!(told, Progress::Failed(problem) if problem.reason == Reason::TopicRecreated)
    }

    #[test]
    fn a_topic_that_is_there_again_is_told_until_the_publisher_has_started_again() {
        assert!(is_told(true, Reason::TopicMissing.as_str(), true));
        assert!(is_told(false, Reason::TopicRecreated.as_str(), false));
        assert!(!is_told(false, Reason::TopicRecreated.as_str(), true));
        assert!(
            !is_told(false, Reason::AsExpected.as_str(), false),
            "a rollout of later days"
        );
    }
}
