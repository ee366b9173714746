//! Tests of the CRD from the outside: what is committed, what was promised and what its rules refuse; and of the rights
//! that the kinds of children need.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod committed;
mod rights;
mod rules;
