//! The binary as operators and Kubernetes run it: processes, signals, real PostgreSQL, Kafka and Redis.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod crash;
mod dev;
mod platform;
mod process;
mod start;
