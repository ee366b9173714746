//! The stages that write, one file each, in the order in which `reconcile` runs them. `observe` reports the result.

pub(super) mod apply;
pub mod autoscale;
pub mod child;
mod clean_up;
#[cfg(test)]
mod fixture;
pub(super) mod gate;
pub mod migrate;
pub(super) mod report;
pub mod topics;
