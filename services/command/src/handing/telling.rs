//! The way back to another process, for one request.

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use wallex_journal::append::Reply;

use super::wire::{Outcome, Told};

/// Tells another process what became of its request: exactly once, whatever becomes of the writer.
pub(crate) struct Teller {
    id: u64,
    told: Option<mpsc::UnboundedSender<Telling>>,
    place: Option<OwnedSemaphorePermit>,
}

/// With its place, until it has been written.
pub(crate) struct Telling {
    pub(crate) told: Told,
    _place: Option<OwnedSemaphorePermit>,
}

impl Teller {
    pub(crate) fn new(
        id: u64,
        told: mpsc::UnboundedSender<Telling>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            id,
            told: Some(told),
            place,
        }
    }

    pub(crate) fn tell(mut self, reply: Reply) {
        self.tell_outcome(Outcome::Reply(reply));
    }

    pub(crate) fn refuse(mut self) {
        self.tell_outcome(Outcome::Refused);
    }

    fn tell_outcome(&mut self, outcome: Outcome) {
        if let Some(told) = self.told.take() {
            let id = self.id;
            // If the connection has ended, the other process has been told so.
            let _ = told.send(Telling {
                told: Told { id, outcome },
                _place: self.place.take(),
            });
        }
    }

    /// The other process does not wait any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.told.as_ref().is_none_or(mpsc::UnboundedSender::is_closed)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // Whoever was to answer is gone.
        self.tell_outcome(Outcome::Reply(Reply::OutcomeUnknown));
    }
}
