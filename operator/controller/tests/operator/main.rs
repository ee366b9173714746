//! Tests of the operator's pure stages from the outside, and of topics on a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod argocd;
mod autoscaling;
mod clusters;
mod conditions;
mod failures;
mod fixture;
mod kafka_access;
mod manifests;
mod pods;
mod reconciling;
mod suspension;
mod topics;
mod validation;
