//! Checks that statements use their indexes: those of a projector step by step, and those of readers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ledger;
mod read_model;
mod steps;
