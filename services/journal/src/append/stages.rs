//! How long the stages of a batch took. For metrics and traces only.

use std::time::{Duration, Instant};

/// How long each stage of a committed transaction took.
#[derive(Debug, Clone, Copy)]
pub struct Stages {
    pub route: Duration,
    pub load: Duration,
    pub decide: Duration,
    pub wrote: Wrote,
}

/// How it was written.
#[derive(Debug, Clone, Copy)]
pub enum Wrote {
    OneTrip {
        append: Duration,
    },
    Locked {
        lock: Duration,
        write: Duration,
        commit: Duration,
    },
}

impl Stages {
    /// With their names, in order.
    pub fn named(self) -> Vec<(&'static str, Duration)> {
        let Self {
            route, load, decide, ..
        } = self;
        match self.wrote {
            Wrote::OneTrip { append } => vec![("load", load), ("decide", decide), ("append", append)],
            Wrote::Locked { lock, write, commit } => vec![
                ("route", route),
                ("lock", lock),
                ("load", load),
                ("decide", decide),
                ("write", write),
                ("commit", commit),
            ],
        }
    }
}

pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}
