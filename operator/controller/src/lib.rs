//! The Wallex operator: turns a `WalletPlatform` object into a running wallet platform and keeps it running.
//!
//! `wallex_crd` defines the resource; `reconcile` is the pipeline of stages from an object to its children and status;
//! `controller` decides when it runs; `lease` decides in which process; only `writes` and `kafka` change anything outside, and
//! both check the lease first. Nothing here depends on the services: the operator knows them as an image, arguments, environment
//! and health endpoints.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod check;
pub mod controller;
pub mod http;
pub mod kafka;
pub mod lease;
pub mod metrics;
pub mod reconcile;
pub mod rivals;
pub mod run;
pub mod scope;
pub mod telemetry;
pub mod writes;
