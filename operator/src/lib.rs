//! The Wallex operator: turns one `WalletPlatform` object into a running wallet platform and keeps it so.
//!
//! `crd` says what may be asked for; `reconcile` is the line of stages from an object to its children and its status;
//! `controller` decides when that line runs; `lease` decides in which process; `writes` and `kafka` are the only doors
//! through which anything outside is changed, and both ask the lease first. `plugin` is `kubectl wallex`, which people run with
//! their own rights. Nothing here depends on the services: the operator knows them as an image, arguments, environment and health
//! endpoints.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod check;
pub mod controller;
#[expect(
    unreachable_pub,
    reason = "derive(KubeSchema) repeats each struct inside a function"
)]
pub mod crd;
pub mod http;
pub mod kafka;
pub mod kinds;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod plugin;
pub mod reconcile;
pub mod rivals;
pub mod run;
pub mod scope;
pub mod telemetry;
pub mod writes;
