//! Liveness and readiness. A process is live while it can answer at all: no remote server is asked, or an outage of
//! PostgreSQL would restart every pod. It is ready when each of its checks is.

mod check;

use std::sync::{Arc, OnceLock};

use crate::kafka::Overview;
pub use check::Check;
use check::Checks;
pub(crate) use check::State;

/// The checks of one process. Clones share them.
#[derive(Clone, Default)]
pub struct Health {
    checks: Checks,
    kafka: Arc<OnceLock<Overview>>,
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, unready with "starting" until its owner updates it. A name stands for one check.
    pub fn check(&self, name: &'static str) -> Check {
        self.checks.add(name)
    }

    /// Sets what `/health/kafka` shows from now on. It is for information, not a check: readiness does not depend on it. The
    /// first one stays.
    pub fn show_kafka(&self, overview: Overview) {
        let _ = self.kafka.set(overview);
    }

    pub(crate) fn kafka(&self) -> Overview {
        self.kafka.get().cloned().unwrap_or_else(Overview::none)
    }

    /// Whether every check is ready.
    pub fn is_ready(&self) -> bool {
        self.checks.lock().values().all(Result::is_ok)
    }

    /// Every check with its reason when unready.
    pub(crate) fn states(&self) -> Vec<(&'static str, State)> {
        self.checks
            .lock()
            .iter()
            .map(|(name, state)| (*name, state.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use wallex_domain::Ailment;

    use super::check::Unready;
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
        let refused = |ailment| {
            let reason = "connection refused".to_owned();
            ("database", Err(Unready { reason, ailment }))
        };
        assert_eq!(health.states()[0], refused(None));
        let away = Ailment::DatabaseUnreachable;
        database.set_ailing(away, "connection refused");
        assert_eq!(health.states()[0], refused(Some(away)));
    }
}
