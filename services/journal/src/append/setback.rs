//! Why a batch's transaction did not take place, and what that says: about its content, about the server, or that it may
//! have taken place after all.
//!
//! The invariant: what is called refused left nothing behind. Only a COMMIT without an answer is unknown.

use std::time::Duration;
use wallex_postgres::SqlState;

use super::Conflict;

/// What stood in the way of one attempt.
#[derive(Debug)]
pub(super) enum Setback {
    /// The transaction was refused for what it was about, and is rolled back. Others may be fine.
    Refused(Refusal),
    /// The connection or the server is in trouble, whatever the content. Rolled back, or never begun.
    Trouble(sqlx::Error),
    /// The database's clock is so far ahead that it is not believed.
    Clock { lead: Duration },
    /// COMMIT was sent and its answer never came.
    Unknown(sqlx::Error),
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: Why,
    pub(super) error: Box<dyn std::error::Error + Send + Sync>,
}

/// What a refusal tells about the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// SQLSTATE class 40: a deadlock or a serialization failure.
    Serialization,
    /// SQLSTATE class 23: mostly another writer that took the same id, external id or key.
    Constraint,
    /// The database cannot take the content, or this build cannot read what the database has.
    Content,
    /// A partition's row was locked for longer than batches take.
    Partition,
    /// Something else was locked, which nobody but the holder of the partition should lock.
    Lock,
    /// A statement was ended by its time-out, or by somebody.
    Slow,
}

/// What was written is not what was meant: somebody wrote without the lock, or something keeps rows from being written.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {wrote} instead of {meant}")]
pub(super) struct Mismatch {
    pub(super) what: &'static str,
    pub(super) wrote: String,
    pub(super) meant: String,
}

impl Setback {
    /// Before COMMIT: whatever it is, nothing was written.
    pub(super) fn of(error: sqlx::Error) -> Self {
        match Self::why(&error) {
            Some(why) => Self::Refused(Refusal {
                why,
                error: error.into(),
            }),
            None => Self::Trouble(error),
        }
    }

    /// Of the statement that locks the partitions.
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

    /// Of a COMMIT. The server says itself that it rolled back, or nobody knows: an administrator's command, for
    /// example, ends the wait for a standby and not the commit.
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

    /// `None`: it says something about the server or the connection, not about the batch.
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
            // No connection, no resources, shutting down, I/O errors, no rights to log in, no such database or schema; a
            // transaction or a prepared statement that the session has not, or has from somebody else.
            ("08" | "53" | "57" | "58" | "28" | "3D" | "3F" | "25" | "26" | "34" | "0A" | "55", _)
            | (_, SqlState::DUPLICATE_PREPARED_STATEMENT) => None,
            _ => Some(Why::Content),
        }
    }

    /// For figures.
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
