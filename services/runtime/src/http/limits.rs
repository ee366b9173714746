//! What clients may take of a process: connections, memory, time.
//!
//! The invariant: the process keeps enough for itself. Files it needs for PostgreSQL, Kafka and Redis are not given to
//! clients, and a client that is slow on purpose is given up after a bounded time.

use std::time::Duration;

use crate::settings::Settings;

/// Files that the process needs for itself: the pools, the writers, Kafka's brokers, Redis, the runtime. A command role
/// has about 40 open.
const OWN_FILES: usize = 128;
/// Even with fewer files than the process needs, someone has to be let in.
const FEWEST: usize = 16;

/// Bytes that a client takes of a ready answer in [`Patience::answer`], or it is given up: 2 kB/s.
pub(super) const LEAST: usize = 64 * 1024;

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections that are open at the same time; some more are taken for probes.
    pub connections: usize,
    /// Bytes of bodies that are being received, and as many of answers that are being sent.
    pub memory: usize,
    pub patience: Patience,
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until a request's head is complete: from the connection's beginning, later from the head's first byte.
    pub head: Duration,
    /// Until its body is complete, from the head.
    pub body: Duration,
    /// Without a request. Longer than the 60 s to 90 s that clients and load balancers keep idle connections, so that it
    /// is they who close.
    pub idle: Duration,
    /// To take [`LEAST`] bytes of an answer that is ready.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            answer: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    /// As the settings have it.
    fn default() -> Self {
        Self {
            connections: 4096,
            memory: 32 * 1024 * 1024,
            patience: Patience::default(),
        }
    }
}

impl Limits {
    pub fn of(settings: &Settings) -> Self {
        Self {
            connections: affordable(settings.http_max_connections, open_files()),
            memory: settings.http_memory_mib.saturating_mul(1024 * 1024),
            patience: Patience::default(),
        }
    }
}

/// As many as were asked for, as far as the limit of open files allows.
fn affordable(asked: usize, open_files: Option<usize>) -> usize {
    let Some(files) = open_files else { return asked };
    let left = files.saturating_sub(OWN_FILES).max(FEWEST);
    if left < asked {
        tracing::warn!(
            setting = "http_max_connections",
            asked,
            connections = left,
            open_files = files,
            "the limit of open files (ulimit -n) allows fewer connections"
        );
    }
    asked.min(left)
}

/// The soft limit, where Linux tells it (proc(5)).
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_leaves_the_process_its_own() {
        assert_eq!(affordable(4096, None), 4096);
        assert_eq!(affordable(4096, Some(1_048_576)), 4096);
        assert_eq!(affordable(4096, Some(256)), 128);
        assert_eq!(affordable(100, Some(256)), 100);
        assert_eq!(affordable(4096, Some(64)), FEWEST);
    }
}
