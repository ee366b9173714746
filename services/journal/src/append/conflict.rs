//! Why batches had to run again. For figures only: nothing is decided on it.

use super::Setback;

/// What stood in the way of a batch's transaction, or of a part of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// SQLSTATE class 40: a deadlock or a serialization failure.
    Serialization,
    /// SQLSTATE class 23: mostly another writer that took the same id, external id or key.
    Constraint,
    /// SQLSTATE class 22: the database cannot take the content.
    Content,
    /// Somebody held a partition's lock for too long.
    LockTimeout,
    /// The server ended a statement that took too long.
    StatementTimeout,
    /// The connection, or the server, was in trouble.
    Connection,
    /// COMMIT was sent and its answer never came.
    CommitUnknown,
    /// A wallet was not in the partition where it was looked for.
    Misrouted,
    /// Refused twice: its requests went one by one.
    OneByOne,
}

impl Conflict {
    pub const ALL: [Self; 9] = [
        Self::Serialization,
        Self::Constraint,
        Self::Content,
        Self::LockTimeout,
        Self::StatementTimeout,
        Self::Connection,
        Self::CommitUnknown,
        Self::Misrouted,
        Self::OneByOne,
    ];

    /// Label of the metric.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Serialization => "serialization",
            Self::Constraint => "constraint",
            Self::Content => "content",
            Self::LockTimeout => "lock_timeout",
            Self::StatementTimeout => "statement_timeout",
            Self::Connection => "connection",
            Self::CommitUnknown => "commit_unknown",
            Self::Misrouted => "misrouted",
            Self::OneByOne => "one_by_one",
        }
    }

    pub(super) fn of(setback: &Setback) -> Self {
        let (Setback::Refused(error) | Setback::Trouble(error)) = setback else {
            return Self::CommitUnknown;
        };
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default();
        // PostgreSQL manual, appendix A.
        match code.as_ref() {
            "55P03" => Self::LockTimeout,
            "57014" => Self::StatementTimeout,
            code if code.starts_with("40") => Self::Serialization,
            code if code.starts_with("23") => Self::Constraint,
            code if code.starts_with("22") => Self::Content,
            _ => Self::Connection,
        }
    }
}
