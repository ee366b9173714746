//! Derives a platform's conditions from what the stages observed. Pure.
//!
//! Invariant: types and reasons are the closed sets of `vocabulary`; `lastTransitionTime` moves only when a condition's status does;
//! the same observations give the same conditions, so an unchanged platform causes no write.

mod lag;
mod problem;
mod seen;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use lag::Lag;
pub use problem::Problem;
pub use seen::{ComponentState, Hold, Progress, Remembered, Seen};
pub use wallex_crd::vocabulary::{Reason, types};

impl Seen {
    /// The number of components that have pods, all of them ready, whether of the present template or the previous one.
    pub fn components_ready(&self) -> usize {
        self.components
            .iter()
            .filter(|state| state.exists && state.ready >= state.desired.max(1))
            .count()
    }

    /// Whether everything requested is in place.
    pub fn is_ready(&self) -> bool {
        matches!(self.verdict(), Verdict::Ready)
    }

    /// The most severe thing that keeps the platform from being ready; none when it is ready.
    fn verdict(&self) -> Verdict {
        if let Some(problem) = &self.invalid {
            let ends_by_itself = [Reason::PredecessorTerminating, Reason::Deleting].contains(&problem.reason);
            return if ends_by_itself {
                Verdict::Waiting(problem.clone())
            } else {
                Verdict::Failed(problem.clone())
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
        if let Some((component, problem)) = self
            .components
            .iter()
            .find_map(|state| Some((state.component, state.problem.as_ref()?)))
        {
            return Verdict::Failed(Problem::new(
                problem.reason,
                format!("{}: {}", component.name(), problem.message),
            ));
        }
        if let Some((component, message)) = self
            .components
            .iter()
            .find_map(|state| Some((state.component, state.stalled.as_ref()?)))
        {
            return Verdict::Failed(Problem::new(
                Reason::RolloutStalled,
                format!("{}: {message}", component.name()),
            ));
        }
        for part in [&self.schema, &self.topics] {
            match part {
                Progress::Waiting(problem) => return Verdict::Waiting(problem.clone()),
                // A paused platform's topics are not checked, because the check would also correct them.
                Progress::NotChecked if self.hold == Some(Hold::Paused) => {}
                Progress::NotChecked => {
                    return Verdict::Waiting(Problem::new(Reason::NotChecked, "not checked yet"));
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
        } else if self.hold == Some(Hold::Suspended) {
            let running = self.components.iter().filter(|state| !state.rolled_out);
            let names: Vec<&str> = running.map(|state| state.component.name()).collect();
            Verdict::Waiting(Problem::new(
                Reason::Suspended,
                format!("stopping {}", names.join(", ")),
            ))
        } else {
            Verdict::Waiting(Problem::new(Reason::RollingOut, missing.join(", ")))
        }
    }
}

enum Verdict {
    Ready,
    Waiting(Problem),
    Failed(Problem),
}

/// The conditions for what was seen; `previous` provides the last transition times.
pub fn derive(
    previous: &[Condition],
    generation: Option<i64>,
    seen: &Seen,
    now: Timestamp,
) -> Vec<Condition> {
    let verdict = seen.verdict();
    let fine = || Problem::new(Reason::AsExpected, "");
    let (ready, progressing) = match seen.hold {
        None => (ready(&verdict, &seen.notes), progressing(&verdict)),
        Some(hold) => held(hold, &verdict, &seen.notes),
    };
    let degraded = match &verdict {
        Verdict::Failed(problem) => ("True", problem.clone()),
        Verdict::Ready | Verdict::Waiting(_) => ("False", fine()),
    };
    let mut wanted = vec![
        (types::READY, ready),
        (types::PROGRESSING, progressing),
        (types::DEGRADED, degraded),
        (types::TOPICS_READY, part(&seen.topics, seen.hold)),
        (types::SCHEMA_READY, part(&seen.schema, seen.hold)),
        (
            types::PROJECTIONS_CURRENT,
            lag::current(&seen.lag, find(previous, types::PROJECTIONS_CURRENT)),
        ),
    ];
    let autoscaling = seen.autoscaling.clone();
    wanted.extend(autoscaling.map(|said| (types::AUTOSCALING_ACTIVE, said)));
    match &verdict {
        Verdict::Ready => {}
        Verdict::Failed(problem) if problem.reason.is_stalling() => {
            wanted.push((types::STALLED, ("True", problem.clone())));
        }
        Verdict::Waiting(problem) | Verdict::Failed(problem) => {
            wanted.push((types::RECONCILING, ("True", problem.clone())));
        }
    }
    wanted.extend(
        seen.components
            .iter()
            .map(|state| (state.component.row().condition, available(state))),
    );

    wanted
        .into_iter()
        .map(|(type_, (status, Problem { reason, message }))| {
            if let Some(known) = previous.iter().find(|condition| {
                (status, reason) == ("Unknown", Reason::Paused)
                    && condition.type_ == type_
                    && PARTS.contains(&type_)
            }) {
                return known.clone();
            }
            let last_transition_time = find(previous, type_)
                .filter(|condition| condition.status == status)
                .map_or_else(|| Time(now), |condition| condition.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: reason.as_str().to_owned(),
                message,
                observed_generation: generation,
                last_transition_time,
            }
        })
        .collect()
}

/// The condition of the given type.
fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Conditions that keep their last value while a platform is paused, because nothing checks them.
const PARTS: [&str; 2] = [types::TOPICS_READY, types::SCHEMA_READY];

fn ready(verdict: &Verdict, notes: &[String]) -> (&'static str, Problem) {
    match verdict {
        Verdict::Ready => {
            let said = std::iter::once("all components are ready").chain(notes.iter().map(String::as_str));
            let message = said.collect::<Vec<_>>().join("; ");
            ("True", Problem::new(Reason::Ready, message))
        }
        Verdict::Waiting(problem) | Verdict::Failed(problem) => ("False", problem.clone()),
    }
}

fn progressing(verdict: &Verdict) -> (&'static str, Problem) {
    match verdict {
        Verdict::Waiting(problem) => ("True", problem.clone()),
        Verdict::Ready | Verdict::Failed(_) => ("False", Problem::new(Reason::AsExpected, "")),
    }
}

/// Ready and Progressing of a paused or suspended platform: the reason is the user's request, the message anything else worth
/// reporting.
fn held(
    hold: Hold,
    verdict: &Verdict,
    notes: &[String],
) -> ((&'static str, Problem), (&'static str, Problem)) {
    let problem = match verdict {
        Verdict::Ready => None,
        Verdict::Waiting(problem) | Verdict::Failed(problem) => Some(&problem.message),
    };
    // A suspended platform has nothing to note.
    let notes = if hold == Hold::Paused { notes } else { &[] };
    let also: String = problem
        .into_iter()
        .chain(notes)
        .map(|said| format!("; {said}"))
        .collect();
    match hold {
        // If everything requested is running, the platform is ready, paused or not.
        Hold::Paused => {
            let message = format!("spec.paused is true, so nothing is changed{also}");
            let status = if matches!(verdict, Verdict::Ready) {
                "True"
            } else {
                "False"
            };
            (
                (status, Problem::new(Reason::Paused, message.clone())),
                ("False", Problem::new(Reason::Paused, message)),
            )
        }
        Hold::Suspended => {
            let message = format!("spec.suspended is true, so no component runs{also}");
            let on_its_way = if matches!(verdict, Verdict::Waiting(_)) {
                "True"
            } else {
                "False"
            };
            (
                ("False", Problem::new(Reason::Suspended, message.clone())),
                (on_its_way, Problem::new(Reason::Suspended, message)),
            )
        }
    }
}

fn part(progress: &Progress, hold: Option<Hold>) -> (&'static str, Problem) {
    match progress {
        Progress::NotChecked if hold == Some(Hold::Paused) => (
            "Unknown",
            Problem::new(Reason::Paused, "spec.paused is true, so this is not checked"),
        ),
        Progress::NotChecked => (
            "Unknown",
            Problem::new(Reason::NotChecked, "an earlier stage stopped"),
        ),
        Progress::Done(message) => ("True", Problem::new(Reason::AsExpected, message.clone())),
        Progress::Waiting(problem) | Progress::Failed(problem) => ("False", problem.clone()),
    }
}

fn available(state: &ComponentState) -> (&'static str, Problem) {
    let problem = state.problem.as_ref();
    if state.ready > 0 {
        let message = problem.map_or("", |problem| problem.message.as_str());
        ("True", Problem::new(Reason::Available, message))
    } else if state.desired == 0 {
        let message = problem.map_or("", |problem| problem.message.as_str());
        ("False", Problem::new(Reason::ScaledToZero, message))
    } else {
        let problem = problem.cloned();
        (
            "False",
            problem.unwrap_or_else(|| Problem::new(Reason::Unavailable, "")),
        )
    }
}
