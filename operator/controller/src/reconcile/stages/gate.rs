//! Whether a platform follows its spec right now, depending on Kafka. Pure.
//!
//! Invariant: pods that reach Kafka are never replaced by pods that don't, and none uses a topic of another owner.

use kube::ResourceExt as _;
use wallex_crd::children::named;

use crate::reconcile::build::{self, Manifests};
use crate::reconcile::conditions::{Problem, Progress, Reason};
use crate::reconcile::dereference::Dereferenced;

/// How much of a platform follows the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reconcile) enum Gate {
    Open,
    /// Pods keep their settings: the wanted ones do not reach Kafka.
    Workloads,
    /// Nothing: the platform would use topics of another owner.
    Shut,
}

/// Decides the gate: pods that reach Kafka are not replaced by pods that don't.
pub(in crate::reconcile) fn gate(topics: &Progress, manifests: &Manifests, found: &Dereferenced) -> Gate {
    let Progress::Failed(problem) = topics else {
        return Gate::Open;
    };
    if problem.reason == Reason::TopicTaken {
        return Gate::Shut;
    }
    // Kafka has answered; the topics will follow.
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

/// Adds that pods keep their present settings.
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
