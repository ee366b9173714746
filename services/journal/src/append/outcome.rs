//! How the requests of a batch come out.

use wallex_domain::WalletId;

use super::request::{Answer, Reply};

/// How one request of the batch came out.
#[derive(Debug)]
pub(super) enum Staged {
    Reply(Reply),
    /// Routed to a partition that is not the wallet's: to be routed anew into a later batch.
    Misrouted(WalletId),
    /// Not to be decided in this batch, but in a later one.
    Later,
    /// To be tried in a transaction of its own.
    Alone,
    /// Somebody has locked the head of this wallet.
    Locked(WalletId),
}

impl Staged {
    /// Whether it tells of what an earlier transaction committed.
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

/// What a request came to that was decided.
pub(super) enum Decision {
    /// To be kept under the request's key. `replayed`: an earlier movement's answer, given again.
    Answered { answer: Answer, replayed: bool },
    /// Something that it is about does not exist. Not to be kept: it may exist later.
    NotFound(Answer),
}
