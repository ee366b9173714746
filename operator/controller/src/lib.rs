//! The Wallex operator: turns one `WalletPlatform` object into a running wallet platform and keeps it so.
//!
//! `wallex_crd` says what may be asked for; `reconcile` is the line of stages from an object to its children and its status;
//! `controller` decides when that line runs; `lease` decides in which process; `writes` and `kafka` are the only doors
//! through which anything outside is changed, and both ask the lease first. Nothing here depends on the services: the operator knows them as an image, arguments, environment and health
//! endpoints.
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
