//! The stages that write, a file each, in the order in which `reconcile` goes through them. What became of it all is for `observe` to say.

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
