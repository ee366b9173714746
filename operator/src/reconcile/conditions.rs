//! What a platform's conditions say, from what the stages saw. Pure.
//!
//! Invariant: types and reasons are the closed sets below; `lastTransitionTime` moves only when a condition's status does;
//! the same observation gives the same conditions, so an unchanged platform causes no write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::names::Component;

/// Types of conditions, besides one `…Available` per component ([`Component::condition`]).
pub mod types {
    /// Everything asked for is there and serves.
    pub const READY: &str = "Ready";
    /// Something is on its way that ends by itself.
    pub const PROGRESSING: &str = "Progressing";
    /// Something failed; what ran before keeps running.
    pub const DEGRADED: &str = "Degraded";
    /// The topics are in Kafka as asked for.
    pub const TOPICS_READY: &str = "TopicsReady";
    /// The database is migrated for the present image.
    pub const SCHEMA_READY: &str = "SchemaReady";
}

/// Reasons of conditions: a closed set, each one explained in the documentation.
pub mod reasons {
    /// All is well.
    pub const READY: &str = "Ready";
    /// Nothing is on its way, or nothing failed.
    pub const AS_EXPECTED: &str = "AsExpected";
    /// It was not looked at, since an earlier stage stopped.
    pub const NOT_CHECKED: &str = "NotChecked";

    /// A named Secret does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A named Secret has no such key.
    pub const SECRET_KEY_MISSING: &str = "SecretKeyMissing";
    /// A Secret's value is not a URL of the kind wanted.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// The spec says something impossible that the schema could not refuse.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Children of a deleted platform of the same name are still being removed.
    pub const PREDECESSOR_TERMINATING: &str = "PredecessorTerminating";
    /// An object of the name that a child needs belongs to something else.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// The API server refused a child: quota, admission, a stored field that can't change.
    pub const APPLY_FAILED: &str = "ApplyFailed";

    /// No broker answers.
    pub const KAFKA_UNREACHABLE: &str = "KafkaUnreachable";
    /// The brokers refuse the operator.
    pub const KAFKA_NOT_AUTHORIZED: &str = "KafkaNotAuthorized";
    /// The brokers refuse a topic or its configuration.
    pub const TOPIC_REFUSED: &str = "TopicRefused";
    /// The brokers failed otherwise.
    pub const TOPICS_FAILED: &str = "TopicsFailed";

    /// The migration Job has not finished yet.
    pub const MIGRATION_RUNNING: &str = "MigrationRunning";
    /// An attempt of the migration failed. It is tried again for as long as it is wanted.
    pub const MIGRATION_FAILED: &str = "MigrationFailed";

    /// Pods are being replaced or started.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Pods did not become ready in the time that a rollout may take.
    pub const ROLLOUT_STALLED: &str = "RolloutStalled";
    /// At least one pod serves.
    pub const AVAILABLE: &str = "Available";
    /// No pod serves.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// No pod is asked for.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
}

/// Something that keeps a platform from being what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: &'static str,
    pub message: String,
}

impl Problem {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// One part of the line: done, on its way, failed, or not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    NotChecked,
    Done(String),
    Waiting(Problem),
    Failed(Problem),
}

/// One component's Deployment as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentState {
    pub component: Component,
    /// Whether there is a Deployment at all.
    pub exists: bool,
    pub desired: i32,
    pub ready: i32,
    pub updated: i32,
    pub image: Option<String>,
    /// Whether all pods are of the template wanted now, and ready.
    pub rolled_out: bool,
    /// The Deployment says that its rollout takes too long, in its own words.
    pub stalled: Option<String>,
}

/// All that the conditions are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The spec or what it refers to is wrong: nothing was built.
    pub invalid: Option<Problem>,
    pub topics: Progress,
    pub schema: Progress,
    /// The API server refused a child, or a child's name is taken.
    pub refused: Option<Problem>,
    pub components: Vec<ComponentState>,
}

impl Observation {
    /// How many components have all the pods asked for ready, be they of the present template or the one before.
    pub fn components_ready(&self) -> usize {
        self.components
            .iter()
            .filter(|state| state.exists && state.ready >= state.desired)
            .count()
    }

    /// Whether everything asked for is there.
    pub fn is_ready(&self) -> bool {
        matches!(self.verdict(), Verdict::Ready)
    }

    /// What keeps the platform from being ready, the gravest first; none when it is ready.
    fn verdict(&self) -> Verdict {
        if let Some(problem) = &self.invalid {
            return match problem.reason {
                reasons::PREDECESSOR_TERMINATING => Verdict::Waiting(problem.clone()),
                _ => Verdict::Failed(problem.clone()),
            };
        }
        if let Some(problem) = &self.refused {
            return Verdict::Failed(problem.clone());
        }
        for part in [&self.schema, &self.topics] {
            if let Progress::Failed(problem) = part {
                return Verdict::Failed(problem.clone());
            }
        }
        if let Some((component, message)) = self
            .components
            .iter()
            .find_map(|state| Some((state.component, state.stalled.as_ref()?)))
        {
            return Verdict::Failed(Problem::new(
                reasons::ROLLOUT_STALLED,
                format!("{}: {message}", component.name()),
            ));
        }
        for part in [&self.schema, &self.topics] {
            match part {
                Progress::Waiting(problem) => return Verdict::Waiting(problem.clone()),
                Progress::NotChecked => {
                    return Verdict::Waiting(Problem::new(reasons::NOT_CHECKED, "not checked yet"));
                }
                Progress::Done(_) | Progress::Failed(_) => {}
            }
        }
        let missing: Vec<String> = self
            .components
            .iter()
            .filter(|state| !state.rolled_out)
            .map(|state| {
                let (name, ready, desired) = (
                    state.component.name(),
                    state.ready.min(state.desired),
                    state.desired,
                );
                if ready < desired {
                    format!("{name} {ready}/{desired} ready")
                } else {
                    format!("{name} is being replaced")
                }
            })
            .collect();
        if missing.is_empty() {
            Verdict::Ready
        } else {
            Verdict::Waiting(Problem::new(reasons::ROLLING_OUT, missing.join(", ")))
        }
    }
}

enum Verdict {
    Ready,
    Waiting(Problem),
    Failed(Problem),
}

/// The conditions for `observation`; `previous` ones give the times of their last transitions.
pub fn run(
    previous: &[Condition],
    generation: Option<i64>,
    observation: &Observation,
    now: Timestamp,
) -> Vec<Condition> {
    let verdict = observation.verdict();
    let fine = || Problem::new(reasons::AS_EXPECTED, "");
    let ready = match &verdict {
        Verdict::Ready => ("True", Problem::new(reasons::READY, "all components are ready")),
        Verdict::Waiting(problem) | Verdict::Failed(problem) => ("False", problem.clone()),
    };
    let progressing = match &verdict {
        Verdict::Waiting(problem) => ("True", problem.clone()),
        Verdict::Ready | Verdict::Failed(_) => ("False", fine()),
    };
    let degraded = match &verdict {
        Verdict::Failed(problem) => ("True", problem.clone()),
        Verdict::Ready | Verdict::Waiting(_) => ("False", fine()),
    };
    let mut wanted = vec![
        (types::READY, ready),
        (types::PROGRESSING, progressing),
        (types::DEGRADED, degraded),
        (types::TOPICS_READY, part(&observation.topics)),
        (types::SCHEMA_READY, part(&observation.schema)),
    ];
    wanted.extend(
        observation
            .components
            .iter()
            .map(|state| (state.component.condition(), available(state))),
    );

    wanted
        .into_iter()
        .map(|(type_, (status, Problem { reason, message }))| {
            let last_transition_time = previous
                .iter()
                .find(|condition| condition.type_ == type_ && condition.status == status)
                .map_or_else(|| Time(now), |condition| condition.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message,
                observed_generation: generation,
                last_transition_time,
            }
        })
        .collect()
}

fn part(progress: &Progress) -> (&'static str, Problem) {
    match progress {
        Progress::NotChecked => (
            "Unknown",
            Problem::new(reasons::NOT_CHECKED, "an earlier stage stopped"),
        ),
        Progress::Done(message) => ("True", Problem::new(reasons::AS_EXPECTED, message.clone())),
        Progress::Waiting(problem) | Progress::Failed(problem) => ("False", problem.clone()),
    }
}

fn available(state: &ComponentState) -> (&'static str, Problem) {
    if state.ready > 0 {
        ("True", Problem::new(reasons::AVAILABLE, ""))
    } else if state.desired == 0 {
        ("False", Problem::new(reasons::SCALED_TO_ZERO, ""))
    } else {
        ("False", Problem::new(reasons::UNAVAILABLE, ""))
    }
}
