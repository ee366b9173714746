//! The schemas that answers come from.

/// Where an answer comes from, and with it: whose cursors say how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    ReadModel,
    Ledger,
    /// The truth itself: it contains every position that a write has answered.
    Journal,
}

impl Source {
    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadModel => "read model",
            Self::Ledger => "ledger",
            Self::Journal => "journal",
        }
    }

    /// Whether rows that had been there are being filled in again, so that what is missing proves nothing.
    pub(crate) fn is_being_filled(self) -> &'static str {
        match self {
            Self::ReadModel => "SELECT EXISTS (SELECT 1 FROM read_model.cursor WHERE seq < refill_to)",
            Self::Ledger => "SELECT EXISTS (SELECT 1 FROM ledger.cursor WHERE seq < refill_to)",
            Self::Journal => "SELECT false",
        }
    }

    /// One row per partition, 256 at most: read whole.
    pub(crate) fn cursors(self) -> &'static str {
        match self {
            Self::ReadModel => "SELECT partition, seq FROM read_model.cursor",
            Self::Ledger => "SELECT partition, seq FROM ledger.cursor",
            Self::Journal => wallex_journal::read::positions::CURSORS,
        }
    }
}
