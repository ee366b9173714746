//! `kubectl wallex` against a scripted API server: its requests and its output.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod report;
mod restart;
mod status;
mod switch;
mod verify;
mod world;
