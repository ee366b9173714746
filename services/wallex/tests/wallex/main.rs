//! The binary as operators and Kubernetes run it: processes, signals, real PostgreSQL, Kafka and Redis.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod api;
mod cancelled;
mod config;
mod crash;
mod crowd;
mod dev;
mod documentation;
mod examples;
mod handing;
mod health;
mod lag;
mod last_words;
mod log_level;
mod metadata;
mod metrics;
mod model;
mod one_failing;
mod openapi;
mod platform;
mod pooler;
mod process;
mod projection;
mod redis;
mod rolling;
mod start;
mod suite;
mod traces;
mod verify;
