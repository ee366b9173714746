//! Servers that are away, late, silent or wrong, and what is reported about them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod database;
mod door;
mod kafka;
mod lines;
mod redis;
mod redis_tls;

use std::time::Duration;

use wallex_runtime::health::{Check, Health};

/// A check that nobody reads.
fn check() -> Check {
    Health::new().check("server")
}

const DEADLINE: Duration = wallex_testing::DEADLINE;
