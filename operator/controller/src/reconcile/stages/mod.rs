//! The stages that write, a file each, in the order in which `reconcile` goes through them. What became of it all is for `observe` to say.

pub mod apply;
pub mod autoscale;
pub(super) mod gate;
pub mod migrate;
pub mod topics;
