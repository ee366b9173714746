//! Where an answer comes from.

use sqlx::PgExecutor;
use wallex_journal::read;
use wallex_projections::{Name, cursor};

/// Where an answer comes from, and so whose cursors say how current it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Projection(Name),
    /// The source of truth: it contains every position that a write has returned.
    Journal,
}

impl Source {
    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Projection(name) => name.noun(),
            Self::Journal => "journal",
        }
    }

    /// The seq (inclusive) up to which it contains each partition.
    pub(crate) async fn levels(self, db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i32, i64)>> {
        match self {
            Self::Projection(name) => cursor::levels(db, name).await,
            Self::Journal => read::positions::levels(db).await,
        }
    }
}
