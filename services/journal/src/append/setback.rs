//! Why a batch's transaction failed, and what that says: about its content, about the server, or that it may have been
//! committed after all.
//!
//! The invariant: a refused transaction left nothing behind. Only a COMMIT without an answer is unknown.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
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

    /// From `journal.append` as a transaction of its own. What the server refuses is rolled back. Only something that
    /// interrupts it may come after its COMMIT.
    pub(super) fn of_one_trip(error: sqlx::Error) -> Self {
        let interrupted = !Self::leaves_the_session(&error);
        match Self::of(error) {
            Self::Refused(Refusal { error, .. }) if interrupted => Self::Unknown(sqlx::Error::Decode(error)),
            Self::Trouble(error) if interrupted => Self::Unknown(error),
            other => other,
        }
    }

    /// Whether the server has refused a statement, and the session goes on.
    pub(super) fn leaves_the_session(error: &sqlx::Error) -> bool {
        let refused = error.as_database_error();
        let refused = refused.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        refused.is_some_and(|error| !matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
            && SqlState::of(error)
                .is_some_and(|code| !["08", "53", "57", "58", "26", "0A"].contains(&code.class()))
    }

    pub(super) fn clock_ahead(clock: i64, own: i64) -> Self {
        Self::Clock {
            lead: Duration::from_micros((clock - own).unsigned_abs()),
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
