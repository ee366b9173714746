//! Tests of the operator's pure stages from the outside, of the committed CRD, and of topics on a real Kafka.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod argocd;
mod autoscaling;
mod clusters;
mod conditions;
mod crd;
mod failures;
mod fixture;
mod kafka_access;
mod manifests;
mod plugin;
mod pods;
mod reconciling;
mod rules;
mod suspension;
mod topics;
mod validation;
