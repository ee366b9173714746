//! What a platform is known to have written, and whether a database has it. So no migration starts a second history of
//! the same wallets in a database that is empty, older, or another journal's.
//!
//! Invariant: it only reads, before anything is written. A database is refused for what it lacks, never for what it has
//! in addition.

use sqlx::PgConnection;
use wallex_postgres::SqlState;

/// What is known of a journal: from a database, or from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// When the journal was created, in microseconds since 1970; `None` if unknown.
    pub journal: Option<i64>,
    /// Number of events in it.
    pub events: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(
        "JournalRewound: this platform has written {expected} events or more, and the database at database_url has no journal"
    )]
    Empty { expected: i64 },
    #[error(
        "JournalRewound: this platform has written journal {expected}, and the database at database_url has journal {found}"
    )]
    Another { expected: i64, found: i64 },
    #[error(
        "JournalRewound: this platform has written {expected} events or more, and the journal in the database at database_url has {found}"
    )]
    Shorter { expected: i64, found: i64 },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The journal in the database; `None` if there is none.
pub async fn read(db: &mut PgConnection) -> sqlx::Result<Option<History>> {
    let made: Result<Option<i64>, sqlx::Error> =
        sqlx::query_scalar("SELECT (extract(epoch FROM written_at) * 1000000)::bigint FROM journal.platform")
            .fetch_optional(&mut *db)
            .await;
    let made = match made {
        Err(error) if SqlState::of(&error).is_some_and(SqlState::is_unmigrated) => return Ok(None),
        made => made?,
    };
    let events = sqlx::query_scalar("SELECT coalesce(sum(last_seq), 0)::bigint FROM journal.partition")
        .fetch_one(db)
        .await?;
    Ok(made.map(|made| History {
        journal: Some(made),
        events,
    }))
}

/// Refuses a database that lacks what is expected.
pub async fn expect(db: &mut PgConnection, expected: History) -> Result<(), HistoryError> {
    if expected.events <= 0 {
        return Ok(());
    }
    let Some(found) = read(db).await? else {
        return Err(HistoryError::Empty {
            expected: expected.events,
        });
    };
    if let (Some(expected), Some(found)) = (expected.journal, found.journal)
        && expected != found
    {
        return Err(HistoryError::Another { expected, found });
    }
    if found.events < expected.events {
        return Err(HistoryError::Shorter {
            expected: expected.events,
            found: found.events,
        });
    }
    Ok(())
}
