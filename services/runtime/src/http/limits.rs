//! What clients may take from a process: connections, memory, time.
//!
//! The invariant: the process keeps enough for itself. File descriptors that it needs for PostgreSQL, Kafka and Redis
//! are not given to clients, and a deliberately slow client is dropped after a bounded time.

use std::time::Duration;

use crate::settings::Settings;

/// File descriptors that the process needs for itself: the pools, the writers, Kafka's brokers, Redis, the runtime. A
/// command role has about 40 open.
const OWN_FILES: usize = 128;
/// Even with fewer file descriptors than the process needs, some clients must be admitted.
const FEWEST: usize = 16;

/// Bytes of a ready answer that a client must take within [`Patience::answer`], or be dropped: 2 kB/s.
pub(super) const LEAST: usize = 64 * 1024;

/// Limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections open at the same time; a few more are accepted for probes.
    pub connections: usize,
    /// Bytes of bodies being received, and as many of answers being sent.
    pub memory: usize,
    pub patience: Patience,
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until a request's head is complete: from the start of the connection, later from the head's first byte.
    pub head: Duration,
    /// Until the request's body is complete, counted from the head.
    pub body: Duration,
    /// Without a request. Longer than the 60 s to 90 s that clients and load balancers keep idle connections, so that they
    /// are the ones to close.
    pub idle: Duration,
    /// To take [`LEAST`] bytes of a ready answer.
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
    /// The defaults of the settings.
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

/// As many as requested, as far as the limit of open files allows.
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

/// The soft limit, where Linux reports it (proc(5)).
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
