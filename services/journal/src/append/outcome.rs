//! The outcomes of a batch's requests.

use wallex_domain::WalletId;

use super::request::{Answer, Reply};

/// The outcome of one request of the batch.
#[derive(Debug)]
pub(super) enum Staged {
    Reply(Reply),
    /// Routed to a partition that is not the wallet's: must be routed again in a later batch.
    Misrouted(WalletId),
    /// Must be decided in a later batch.
    Later,
    /// Must be tried in a transaction of its own.
    Alone,
    /// Somebody has locked the head of this wallet.
    Locked(WalletId),
}

impl Staged {
    /// Whether it reports what an earlier transaction committed.
    pub(super) fn is_from_the_store(&self) -> bool {
        match self {
            Self::Reply(Reply::Answered { replayed, .. }) => *replayed,
            Self::Reply(Reply::KeyReused) => true,
            Self::Reply(Reply::NotFound(_) | Reply::Unavailable | Reply::OutcomeUnknown | Reply::Failed)
            | Self::Misrouted(_)
            | Self::Later
            | Self::Alone
            | Self::Locked(_) => false,
        }
    }

    pub(super) fn defect(error: &Defect) -> Self {
        tracing::error!(%error, "a decided event does not apply");
        Self::Reply(Reply::Failed)
    }
}

/// A decided event that does not apply: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Defect(pub(super) String);

/// The outcome of a request that was decided.
pub(super) enum Decision {
    /// Stored under the request's key. `replayed`: an earlier movement's answer, repeated.
    Answered { answer: Answer, replayed: bool },
    /// Something that it is about does not exist. Not stored: it may exist later.
    NotFound(Answer),
}
