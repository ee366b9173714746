//! Why a batch's transaction failed, and what that says: about its content, about the server, or that it may have been
//! committed after all.
//!
//! The invariant: a refused transaction left nothing behind. Only a COMMIT without an answer is unknown.

use std::time::Duration;
use wallex_postgres::SqlState;

use super::Conflict;

/// What got in the way of one attempt.
#[derive(Debug)]
pub(super) enum Setback {
    /// The transaction was refused because of its content or a lock, and is rolled back. Other transactions may be
    /// fine.
    Refused(Refusal),
    /// The connection or the server is in trouble, whatever the content. Rolled back, or never begun.
    Trouble(sqlx::Error),
    /// The database's clock is too far ahead to be credible.
    Clock { lead: Duration },
    /// COMMIT was sent and its answer never came.
    Unknown(sqlx::Error),
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: Why,
    pub(super) error: Box<dyn std::error::Error + Send + Sync>,
}

/// What a refusal says about the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// SQLSTATE class 40: a deadlock or a serialization failure.
    Serialization,
    /// SQLSTATE class 23: usually another writer took the same id, external id or key.
    Constraint,
    /// The database cannot store the content, or this build cannot read what the database has.
    Content,
    /// A partition's row was locked for longer than batches take.
    Partition,
    /// Something else was locked that only the holder of the partition should lock.
    Lock,
    /// A statement was ended by its timeout, or by somebody.
    Slow,
}

/// What was written differs from what was intended: somebody wrote without the lock, or something keeps rows from being
/// written.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {wrote} instead of {meant}")]
pub(super) struct Mismatch {
    pub(super) what: &'static str,
    pub(super) wrote: String,
    pub(super) meant: String,
}

impl Setback {
    /// Before COMMIT: whatever the error, nothing was written.
    pub(super) fn of(error: sqlx::Error) -> Self {
        match Self::why(&error) {
            Some(why) => Self::Refused(Refusal {
                why,
                error: error.into(),
            }),
            None => Self::Trouble(error),
        }
    }

    /// From the statement that locks the partitions.
    pub(super) fn of_locking(error: sqlx::Error) -> Self {
        match Self::of(error) {
            Self::Refused(Refusal {
                why: Why::Lock,
                error,
            }) => Self::Refused(Refusal {
                why: Why::Partition,
                error,
            }),
            other => other,
        }
    }

    /// From a COMMIT. Either the server says that it rolled back, or the outcome is unknown: an administrator's cancel,
    /// for example, ends the wait for a standby but not the commit.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        match Self::of(error) {
            Self::Refused(refusal) => match refusal.why {
                Why::Serialization | Why::Constraint => Self::Refused(refusal),
                Why::Content | Why::Partition | Why::Lock | Why::Slow => {
                    Self::Unknown(sqlx::Error::Decode(refusal.error))
                }
            },
            Self::Trouble(error) | Self::Unknown(error) => Self::Unknown(error),
            Self::Clock { lead } => Self::Clock { lead },
        }
    }

    /// `None` if the error is about the server or the connection, not about the batch.
    fn why(error: &sqlx::Error) -> Option<Why> {
        // A row this build cannot read.
        if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) {
            return Some(Why::Content);
        }
        let code = SqlState::of(error)?;
        match (code.class(), code) {
            (_, SqlState::LOCK_NOT_AVAILABLE) => Some(Why::Lock),
            (_, SqlState::QUERY_CANCELED) => Some(Why::Slow),
            ("40", _) => Some(Why::Serialization),
            ("23", _) => Some(Why::Constraint),
            // No connection, no resources, shutting down, I/O errors, no permission to log in, no such database or
            // schema; a transaction or prepared statement that the session lacks, or has from somebody else.
            ("08" | "53" | "57" | "58" | "28" | "3D" | "3F" | "25" | "26" | "34" | "0A" | "55", _)
            | (_, SqlState::DUPLICATE_PREPARED_STATEMENT) => None,
            _ => Some(Why::Content),
        }
    }

    /// For metrics.
    pub(super) fn conflict(&self) -> Conflict {
        match self {
            Self::Refused(refusal) => match refusal.why {
                Why::Serialization => Conflict::Serialization,
                Why::Constraint => Conflict::Constraint,
                Why::Content => Conflict::Content,
                Why::Partition | Why::Lock => Conflict::LockTimeout,
                Why::Slow => Conflict::StatementTimeout,
            },
            Self::Trouble(_) => Conflict::Connection,
            Self::Clock { .. } => Conflict::Clock,
            Self::Unknown(_) => Conflict::CommitUnknown,
        }
    }
}

impl From<Mismatch> for Setback {
    fn from(mismatch: Mismatch) -> Self {
        Self::Refused(Refusal {
            why: Why::Content,
            error: mismatch.into(),
        })
    }
}
