//! The checks that make up readiness. Their owners keep them up to date; they know nothing of each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wallex_domain::Ailment;

/// The checks of one process. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks(Arc<Mutex<BTreeMap<&'static str, State>>>);

/// One thing that readiness depends on; its owner keeps it up to date. Clones are the same check.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    checks: Checks,
}

pub(crate) type State = Result<(), Unready>;

/// Why a check is unready, as shown in `/health/ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unready {
    pub(crate) reason: String,
    /// For the operator, if one of its conditions names it.
    pub(crate) ailment: Option<Ailment>,
}

impl Checks {
    /// Adds a check, unready with "starting" until its owner updates it.
    pub(super) fn add(&self, name: &'static str) -> Check {
        let starting = || Unready {
            reason: "starting".to_owned(),
            ailment: None,
        };
        self.lock().entry(name).or_insert_with(|| Err(starting()));
        Check {
            name,
            checks: self.clone(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    pub fn set_ready(&self) {
        self.set(Ok(()));
    }

    /// `reason` is shown to anyone who reads `/health/ready`: no secrets.
    pub fn set_unready(&self, reason: impl Into<String>) {
        self.set_ailing(None, reason);
    }

    /// [`Self::set_unready`] for a cause that one of the operator's conditions may name.
    pub fn set_ailing(&self, ailment: impl Into<Option<Ailment>>, reason: impl Into<String>) {
        let (ailment, reason) = (ailment.into(), reason.into());
        self.set(Err(Unready { reason, ailment }));
    }

    pub fn is_ready(&self) -> bool {
        self.checks.lock().get(self.name).is_some_and(Result::is_ok)
    }

    /// Logs changes between ready and unready, never repetitions: callers may report as often as they like.
    fn set(&self, state: State) {
        let previous = self.checks.lock().insert(self.name, state.clone());
        let was_ready = previous.is_some_and(|state| state.is_ok());
        match state {
            Ok(()) if !was_ready => tracing::info!(check = self.name, "ready"),
            Err(unready) if was_ready => {
                tracing::warn!(check = self.name, reason = unready.reason, "not ready");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
