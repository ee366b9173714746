//! Holds the statements to their indexes: of what a projector does step by step, and of what readers ask.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ledger;
mod read_model;
mod steps;
