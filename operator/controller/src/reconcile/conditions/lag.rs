//! The condition for the projections' lag. Pure.
//!
//! Invariant: a projection that hovers around the limit does not make the condition flap: once past [`LAGGING`], it is
//! current again only below [`RECOVERED`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use wallex_crd::ProjectionStatus;
use wallex_crd::vocabulary::Reason;

use super::problem::Problem;

/// Seconds that a projection may be behind. A rollout or a rebalance takes less, and readers notice data that is a
/// minute old.
const LAGGING: i64 = 60;
/// Seconds below which a lagging projection counts as current again.
const RECOVERED: i64 = 30;

/// How far the projections are behind, if known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lag {
    /// Not measured.
    #[default]
    NotChecked,
    /// It could not be measured, and why.
    Unknown(String),
    Known(Vec<ProjectionStatus>),
}

impl Lag {
    /// The rows of the status; empty while the lag is unknown.
    pub fn rows(&self) -> &[ProjectionStatus] {
        match self {
            Self::NotChecked | Self::Unknown(_) => &[],
            Self::Known(rows) => rows,
        }
    }
}

/// The condition's status, reason and message; `previous` is what it was.
pub(super) fn current(lag: &Lag, previous: Option<&Condition>) -> (&'static str, Problem) {
    let rows = match lag {
        Lag::NotChecked => {
            let message = "an earlier stage stopped";
            return ("Unknown", Problem::new(Reason::NotChecked, message));
        }
        Lag::Unknown(why) => return ("Unknown", Problem::new(Reason::LagUnknown, why)),
        Lag::Known(rows) => rows,
    };
    let was_lagging = previous.is_some_and(|condition| condition.status == "False");
    let limit = if was_lagging { RECOVERED } else { LAGGING };
    let behind: Vec<String> = rows
        .iter()
        .filter(|row| row.lag_seconds > limit)
        .map(|row| {
            format!(
                "{} is {} events and {} s behind",
                row.name, row.lag_events, row.lag_seconds
            )
        })
        .collect();
    if behind.is_empty() {
        return ("True", Problem::new(Reason::Current, ""));
    }
    let message = format!(
        "{}; commands still work, but reads are that far behind: check that the projectors' pods are healthy, then raise their \
         replicas in spec.projectors",
        behind.join(", ")
    );
    ("False", Problem::new(Reason::Lagging, message))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn behind(seconds: i64) -> Lag {
        let row = |name: &str, lag_seconds| ProjectionStatus {
            name: name.to_owned(),
            lag_events: lag_seconds * 10,
            lag_seconds,
        };
        Lag::Known(vec![row("ledger", 0), row("read-model", seconds)])
    }

    fn was(status: &str) -> Condition {
        let condition = serde_json::json!({
            "type": "ProjectionsCurrent", "status": status, "reason": "x", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(condition).unwrap()
    }

    #[test]
    fn more_than_a_minute_is_lagging_and_names_the_projection() {
        assert_eq!(
            current(&behind(60), None),
            ("True", Problem::new(Reason::Current, ""))
        );
        let (status, problem) = current(&behind(61), None);
        assert_eq!((status, problem.reason), ("False", Reason::Lagging));
        assert!(
            problem
                .message
                .starts_with("read-model is 610 events and 61 s behind; "),
            "{}",
            problem.message
        );
    }

    #[test]
    fn a_lag_about_the_limit_does_not_flap() {
        for (before, seconds, after) in [
            ("True", 45, "True"),
            ("True", 61, "False"),
            ("False", 45, "False"),
            ("False", 31, "False"),
            ("False", 30, "True"),
            ("Unknown", 45, "True"),
        ] {
            assert_eq!(
                current(&behind(seconds), Some(&was(before))).0,
                after,
                "{before} {seconds}"
            );
        }
    }

    #[test]
    fn what_is_not_known_is_neither() {
        let why = "query: no answer within 2 s".to_owned();
        let (status, problem) = current(&Lag::Unknown(why.clone()), Some(&was("False")));
        assert_eq!(
            (status, problem),
            ("Unknown", Problem::new(Reason::LagUnknown, why))
        );
        assert_eq!(
            current(&Lag::NotChecked, Some(&was("False"))).1.reason,
            Reason::NotChecked
        );
    }
}
