//! The memory that a server has for bodies, in bytes.
//!
//! The invariant: all bodies being received together hold no more than a fixed number of bytes, and so do all answers
//! that are ready and not yet taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Memory {
    receiving: Arc<Semaphore>,
    sending: Arc<Semaphore>,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let room = || Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            receiving: room(),
            sending: room(),
        })
    }

    /// Room for this many bytes of a request's body, if available.
    pub(super) fn receive(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.receiving, bytes)
    }

    /// Room for an answer, if available.
    pub(super) fn send(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        take(&self.sending, bytes)
    }
}

/// `bytes` of room, if available.
fn take(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(bytes).ok()?;
    Arc::clone(room).try_acquire_many_owned(permits).ok()
}
