//! Tests of the custom resource's definition from the outside: what is committed, what was promised, and what its
//! rules refuse; and of the rights that follow from the kinds of children.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod committed;
mod rights;
mod rules;
