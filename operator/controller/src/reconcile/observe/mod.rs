//! What is seen of a platform once the stages have done what they could, a file per part of the status. Nothing here writes.

pub mod autoscaling;
pub mod lag;
pub mod log;
pub(super) mod migration;
pub mod pods;
pub(super) mod zero;
