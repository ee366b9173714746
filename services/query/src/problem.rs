//! The problems that reads answer with, each under a stable code that has a page in `docs/errors/`.
//! The invariant: what a caller can fix is a 4xx that names it; what passes by itself is a 503 with
//! `Retry-After`; a 500 says nothing about internals, the log does.

use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;
use wallex_domain::{Position, Positions};
use wallex_postgres::SqlState;
use wallex_projections::Name;
use wallex_runtime::http::{Code, Extension, Invalid, Problem, Problems};

use crate::answer::Unreadable;
use crate::source::Source;

/// The problems that a read which may wait for positions can be answered with.
pub(crate) const READ: Problems = Problems {
    name: "read",
    codes: &[
        Code::PreconditionMalformed,
        Code::ValidationFailed,
        Code::Internal,
        Code::Unavailable,
        Code::PositionNotReached,
    ],
};

/// How a read fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the database did not answer the read")]
    Database(#[from] sqlx::Error),
    #[error("no connection to the database came free in time")]
    NoConnection,
    #[error("this process runs as many exports as it may")]
    TooManyExports,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the {} has not reached {wanted}", from.name())]
    PositionNotReached {
        from: Source,
        wanted: Positions,
        reached: Positions,
    },
    #[error("there are more positions than the {0} partitions")]
    TooManyPositions(usize),
    #[error("there is no partition for {0}")]
    PartitionUnknown(Position),
    #[error("there is no wallet {0}")]
    WalletNotFound(Uuid),
    /// The wallet exists, but its very first event could not be projected.
    #[error("wallet {0} is parked and has no row")]
    WalletParked(Uuid),
    #[error("there is no transaction {0}")]
    TransactionNotFound(Uuid),
    /// It may be among the events that could not be projected.
    #[error("there may be a {0} among what is parked")]
    MayBeParked(&'static str),
    #[error("there is no account {0}")]
    AccountNotFound(String),
    #[error("there is no hold {0}")]
    HoldNotFound(Uuid),
    /// The journal itself says so.
    #[error("there is no wallet {0} in the journal")]
    WalletUnknown(Uuid),
    #[error("wallet {wallet} was created after {at}")]
    NotCreatedYet { wallet: Uuid, at: String },
    #[error("the time `at` has not come yet")]
    InTheFuture,
    #[error("the cursor is not one of this list")]
    InvalidCursor,
    #[error("an answer could not be written as JSON")]
    Unwritable(#[from] serde_json::Error),
    /// Happens only in the middle of an export, which then breaks off.
    #[error("the read model of wallet {0} went back while it was read: it is being rebuilt")]
    WentBack(Uuid),
    /// The same for the ledger.
    #[error("the ledger went back while it was read: it is being rebuilt")]
    LedgerWentBack,
    /// Something is missing while earlier rows are being refilled.
    #[error("the {} is being filled again from the journal", .0.noun())]
    BeingFilled(Name),
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::WalletNotFound(id) => unknown(Code::WalletNotFound, "wallet", id, "created"),
            ReadError::TransactionNotFound(id) => {
                unknown(Code::TransactionNotFound, "transaction", id, "made")
            }
            ReadError::AccountNotFound(account) => Problem::new(
                Code::AccountNotFound,
                format!(
                    "The ledger has no account {account}. If its first movement was made a moment ago, send that answer's \
                     Wallex-Position as Wallex-Min-Position."
                ),
            ),
            ReadError::HoldNotFound(id) => {
                unknown(Code::HoldNotFound, "hold", id, "placed").with(Extension::HoldId, json!(id))
            }
            ReadError::WalletUnknown(id) => Problem::new(
                Code::WalletNotFound,
                format!("There is no wallet {id}."),
            ),
            ReadError::NotCreatedYet { wallet, at } => Problem::new(
                Code::WalletNotFound,
                format!("At {at} there was no wallet {wallet} yet: it was created later."),
            ),
            ReadError::InTheFuture => invalid_parameter("at", "must not be in the future"),
            ReadError::InvalidCursor => Problem::of(Code::InvalidCursor),
            ReadError::TooManyPositions(partitions) => too_many_positions(partitions),
            ReadError::PartitionUnknown(position) => unknown_partition(position),
            ReadError::PositionNotReached {
                from,
                wanted,
                reached,
            } => Problem::new(
                Code::PositionNotReached,
                format!(
                    "The {} has not reached {wanted} in time. It is catching up; ask again.",
                    from.name()
                ),
            )
            .with(Extension::Wanted, json!(wanted.to_string()))
            .with(Extension::Reached, json!(reached.to_string()))
            .retry_after(1),
            ReadError::WalletParked(id) => Problem::unavailable(format!(
                "Wallet {id} exists, but its first event could not be projected; the platform's administrator has to \
                 look at it."
            ))
            .with(Extension::Stale, json!(true)),
            ReadError::MayBeParked(what) => Problem::unavailable(format!(
                "There may be such a {what}: the events of some wallets could not be projected, so the read model cannot \
                 tell. The platform's administrator has to look at it."
            ))
            .with(Extension::Stale, json!(true)),
            ReadError::NoConnection => {
                tracing::warn!("no database connection came free in time for a read");
                Problem::unavailable("The service is busy; ask again.")
            }
            ReadError::Database(error) if lacks_schema(&error) => {
                tracing::error!(error = %error, "a schema is missing or not this build's: run `wallex migrate`");
                Problem::unavailable(
                    "The service's database schema is missing or out of date; the platform's administrator must run \
                     the migration.",
                )
            }
            ReadError::TooManyExports => Problem::unavailable(
                "This replica already runs as many exports as it may; ask again, or ask for pages.",
            ),
            ReadError::Database(error) if passes(&error) => {
                tracing::warn!(error = %error, "the read model's database did not answer");
                Problem::unavailable("The read model's database does not answer; ask again.")
            }
            ReadError::Database(error) => {
                tracing::error!(error = %error, "a read failed");
                Problem::internal()
            }
            ReadError::Unreadable(_) | ReadError::Unwritable(_) => {
                tracing::error!(%error, "a read failed");
                Problem::internal()
            }
            ReadError::BeingFilled(from) => Problem::unavailable(format!(
                "The {} is being filled again from the journal and has not reached this yet; ask again.",
                from.noun()
            )),
            ReadError::LedgerWentBack => Problem::unavailable("The ledger is being rebuilt; ask again."),
            ReadError::WentBack(_) => Problem::unavailable("The read model is being rebuilt; ask again."),
        }
    }
}

/// What the read model does not have, and may only not have yet.
fn unknown(code: Code, what: &str, id: Uuid, done: &str) -> Problem {
    Problem::new(
        code,
        format!(
            "There is no {what} {id} in the read model. If it was {done} a moment ago, send the Wallex-Position of that \
             answer as Wallex-Min-Position."
        ),
    )
}

/// Whether the database error is transient (SQLSTATE classes): lost or refused connections (08), a transaction aborted
/// or ended by others, or a server that is a standby for now (25), timeouts and conflicts (40, 55), a pooler that mixes
/// up sessions (26, 42P05), out of resources, startup, shutdown (53, 57, 58).
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => SqlState::of(error).is_some_and(|code| {
            code == SqlState::DUPLICATE_PREPARED_STATEMENT
                || ["08", "25", "26", "40", "53", "55", "57", "58"].contains(&code.class())
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether a table, schema or column is missing: dropped, or `wallex migrate` has not run. Readiness says which.
fn lacks_schema(error: &sqlx::Error) -> bool {
    SqlState::of(error).is_some_and(|code| code.is_unmigrated() || code == SqlState::UNDEFINED_COLUMN)
}

/// A path or query parameter that cannot be used.
pub(crate) fn invalid_parameter(name: &str, detail: &str) -> Problem {
    Problem::invalid(vec![Invalid::parameter(name, detail.to_owned())])
}

/// A `Wallex-Min-Position` that is not a list of positions.
pub(crate) fn malformed_position() -> Problem {
    Problem::new(
        Code::PreconditionMalformed,
        "Wallex-Min-Position must be PARTITION:SEQ, for example 3:1042; several are separated by commas.",
    )
}

/// More positions in `Wallex-Min-Position` than the platform has partitions.
pub(crate) fn too_many_positions(most: usize) -> Problem {
    Problem::new(
        Code::PreconditionMalformed,
        format!(
            "Wallex-Min-Position may have at most one position for each partition, {most} here. Of several in one \
             partition the highest is enough."
        ),
    )
}

/// A position in a partition that does not exist.
fn unknown_partition(position: Position) -> Problem {
    Problem::new(
        Code::PreconditionMalformed,
        format!(
            "Wallex-Min-Position names {position}, but this platform has no partition {}, so no write can have returned \
             this position.",
            position.partition
        ),
    )
}
