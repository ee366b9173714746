//! Where an answer comes from.

use sqlx::PgExecutor;
use wallex_journal::read;
use wallex_projections::{Name, cursor};

/// Where an answer comes from, and with it: whose cursors say how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Projection(Name),
    /// The truth itself: it contains every position that a write has answered.
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

    /// Up to which seq (inclusive) each partition is in it.
    pub(crate) async fn levels(self, db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i32, i64)>> {
        match self {
            Self::Projection(name) => cursor::levels(db, name).await,
            Self::Journal => read::positions::levels(db).await,
        }
    }
}
