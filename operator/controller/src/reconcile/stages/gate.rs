//! Whether a platform follows its spec at this moment, from what Kafka says. Pure.
//!
//! Invariant: pods that reach Kafka are never replaced by pods that don't, and none uses a topic that is somebody else's.

use kube::ResourceExt as _;
use wallex_crd::children::named;

use crate::reconcile::build::{self, Manifests};
use crate::reconcile::conditions::{Problem, Progress, Reason};
use crate::reconcile::dereference::Dereferenced;

/// How much of a platform follows the spec now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum Gate {
    Open,
    /// Pods keep the settings they have: those that are wanted lead nowhere.
    Workloads,
    /// Nothing: the platform would use what is somebody else's.
    Shut,
}

/// Pods that reach Kafka are not replaced by pods that don't.
pub(in crate::reconcile) fn gate(topics: &Progress, manifests: &Manifests, found: &Dereferenced) -> Gate {
    let Progress::Failed(problem) = topics else {
        return Gate::Open;
    };
    if problem.reason == Reason::TopicTaken {
        return Gate::Shut;
    }
    // It has answered, and the topics follow.
    if [Reason::TopicMissing, Reason::TopicRecreated].contains(&problem.reason) {
        return Gate::Open;
    }
    let wanted = &manifests.config_map;
    let live = named(&found.children.config_maps, &wanted.name_any());
    if live.is_some_and(|live| build::reaches_kafka_otherwise(wanted, live)) {
        Gate::Workloads
    } else {
        Gate::Open
    }
}

/// What a platform whose pods keep what they have says besides.
pub(in crate::reconcile) fn kept(topics: Progress, gate: Gate) -> Progress {
    match (topics, gate) {
        (Progress::Failed(problem), Gate::Workloads) => {
            let message = format!(
                "{}; pods keep the connection to Kafka that they have, and nothing is rolled, until this one works",
                problem.message
            );
            Progress::Failed(Problem::new(problem.reason, message))
        }
        (topics, Gate::Open | Gate::Workloads | Gate::Shut) => topics,
    }
}
