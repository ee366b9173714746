//! Why batches had to run again. For metrics only: nothing is decided on it.

/// What got in the way of a batch's transaction, or of a part of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// SQLSTATE class 40: a deadlock or a serialization failure.
    Serialization,
    /// SQLSTATE class 23: usually another writer took the same id, external id or key.
    Constraint,
    /// SQLSTATE class 22: the database cannot take the content.
    Content,
    /// Somebody held a partition's lock for too long.
    LockTimeout,
    /// The server cancelled a statement that took too long.
    StatementTimeout,
    /// The connection or the server was in trouble.
    Connection,
    /// The database's clock was too far ahead.
    Clock,
    /// COMMIT was sent and its answer never came.
    CommitUnknown,
    /// A wallet was not in the partition it was routed to.
    Misrouted,
    /// Refused again: continued in parts, to find the request to blame.
    Divided,
}

impl Conflict {
    pub const ALL: [Self; 10] = [
        Self::Serialization,
        Self::Constraint,
        Self::Content,
        Self::LockTimeout,
        Self::StatementTimeout,
        Self::Connection,
        Self::Clock,
        Self::CommitUnknown,
        Self::Misrouted,
        Self::Divided,
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
            Self::Clock => "clock",
            Self::CommitUnknown => "commit_unknown",
            Self::Misrouted => "misrouted",
            Self::Divided => "divided",
        }
    }
}
