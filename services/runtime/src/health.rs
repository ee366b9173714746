//! Liveness and readiness. A process is live while it can answer at all: no remote part is asked, or an outage of
//! PostgreSQL would restart every pod. It is ready when each of its checks is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::kafka::Overview;

/// The checks of one process. Clones share them.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<Mutex<BTreeMap<&'static str, State>>>,
    kafka: Arc<OnceLock<Overview>>,
}

/// One thing that readiness depends on; its owner keeps it up to date. Clones are the same check.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    health: Health,
}

/// `Err` holds the reason, for whoever looks at `/health/ready`.
type State = Result<(), String>;

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, unready "starting" until its owner says otherwise. A name stands for one check.
    pub fn check(&self, name: &'static str) -> Check {
        self.lock()
            .entry(name)
            .or_insert_with(|| Err("starting".to_owned()));
        Check {
            name,
            health: self.clone(),
        }
    }

    /// What `/health/kafka` shows from now on. It is a look, not a check: readiness does not follow it. The first one
    /// stays.
    pub fn show_kafka(&self, overview: Overview) {
        let _ = self.kafka.set(overview);
    }

    pub(crate) fn kafka(&self) -> Overview {
        self.kafka.get().cloned().unwrap_or_else(Overview::none)
    }

    /// Whether every check is ready.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(Result::is_ok)
    }

    /// Every check with its reason when unready.
    pub(crate) fn states(&self) -> Vec<(&'static str, State)> {
        self.lock()
            .iter()
            .map(|(name, state)| (*name, state.clone()))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    pub fn set_ready(&self) {
        self.set(Ok(()));
    }

    /// `reason` is shown to whoever asks `/health/ready`: no secrets.
    pub fn set_unready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    pub fn is_ready(&self) -> bool {
        self.health.lock().get(self.name).is_some_and(Result::is_ok)
    }

    /// Logs a change between ready and not, never a repetition: callers report as often as they like.
    fn set(&self, state: State) {
        let previous = self.health.lock().insert(self.name, state.clone());
        let was_ready = previous.is_some_and(|state| state.is_ok());
        match state {
            Ok(()) if !was_ready => tracing::info!(check = self.name, "ready"),
            Err(reason) if was_ready => tracing::warn!(check = self.name, reason, "not ready"),
            Ok(()) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_check_is() {
        let health = Health::new();
        let database = health.check("database");
        let kafka = health.check("kafka");
        assert!(!health.is_ready());
        database.set_ready();
        assert!(!health.is_ready());
        kafka.clone().set_ready();
        assert!(health.is_ready() && kafka.is_ready());
        database.set_unready("connection refused");
        assert!(!health.is_ready());
        assert_eq!(
            health.states()[0],
            ("database", Err("connection refused".to_owned()))
        );
    }
}
