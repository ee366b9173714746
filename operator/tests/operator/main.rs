//! Tests of the operator's pure stages from the outside, of the committed CRD, and of topics on a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conditions;
mod crd;
mod fixture;
mod manifests;
mod topics;
mod validation;
