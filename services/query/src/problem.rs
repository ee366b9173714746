//! The problems that reads answer with, each under a stable code that has a page in `docs/errors/`.
//! The invariant: what a caller can mend is a 4xx that names it; what passes by itself is a 503 with
//! `Retry-After`; a 500 says nothing about the inside, the log does.

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_platform::http::Problem;

use crate::answer::Unreadable;

/// How a read fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the database did not answer the read")]
    Database(#[from] sqlx::Error),
    #[error("no connection to the database came free in time")]
    NoConnection,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the read model has not reached {wanted}")]
    PositionNotReached { wanted: Positions, reached: Positions },
    #[error("there is no wallet {0}")]
    WalletNotFound(Uuid),
    /// The wallet exists, but already its first event could not be projected.
    #[error("wallet {0} is parked and has no row")]
    WalletParked(Uuid),
    #[error("there is no transaction {0}")]
    TransactionNotFound(Uuid),
    #[error("the cursor is not one of wallet {0}")]
    InvalidCursor(Uuid),
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::WalletNotFound(id) => Problem::new(
                StatusCode::NOT_FOUND,
                "wallet_not_found",
                "Wallet not found",
                format!(
                    "There is no wallet {id} in the read model. If it was created a moment ago, send the \
                     Wallex-Position of that answer as Wallex-Min-Position."
                ),
            ),
            ReadError::TransactionNotFound(id) => Problem::new(
                StatusCode::NOT_FOUND,
                "transaction_not_found",
                "Transaction not found",
                format!(
                    "There is no transaction {id} in the read model. If it was made a moment ago, send the \
                     Wallex-Position of that answer as Wallex-Min-Position."
                ),
            ),
            ReadError::InvalidCursor(_) => Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_cursor",
                "Invalid cursor",
                "The cursor is not one that this list gave. Take next_cursor as it stands, on the same wallet.",
            ),
            ReadError::PositionNotReached { wanted, reached } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "position_not_reached",
                "Position not reached",
                format!("The read model has not reached {wanted} in time. It is catching up; ask again."),
            )
            .with("wanted", json!(wanted.to_string()))
            .with("reached", json!(reached.to_string()))
            .retry_after(1),
            ReadError::WalletParked(id) => Problem::unavailable(format!(
                "Wallet {id} exists, but its first event could not be projected; an operator has to look at it."
            ))
            .with("stale", json!(true)),
            ReadError::NoConnection => {
                tracing::warn!("no database connection came free in time for a read");
                Problem::unavailable("The service is busy; ask again.")
            }
            ReadError::Database(error) if passes(&error) => {
                tracing::warn!(error = %error, "the read model's database did not answer");
                Problem::unavailable("The read model's database does not answer; ask again.")
            }
            ReadError::Database(error) => {
                tracing::error!(error = %error, "a read failed");
                Problem::internal()
            }
            ReadError::Unreadable(error) => {
                tracing::error!(error = %error, "a read failed");
                Problem::internal()
            }
        }
    }
}

/// Whether the database's trouble is one of the moment: lost or refused connections, time-outs, start-up,
/// shut-down, no room (classes 08, 40, 53, 57 and 58 of PostgreSQL's Appendix A).
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        _ => false,
    }
}

/// A path or query parameter that cannot be used.
pub(crate) fn invalid_parameter(name: &str, detail: &str) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "validation_failed",
        "Validation failed",
        if name.is_empty() {
            detail.to_owned()
        } else {
            format!("Parameter {name:?} {detail}.")
        },
    )
    .with("errors", json!([{"parameter": name, "detail": detail}]))
}

/// A `Wallex-Min-Position` that is no list of positions.
pub(crate) fn malformed_position() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "precondition_malformed",
        "Precondition malformed",
        "Wallex-Min-Position must be PARTITION:SEQ, for example 3:1042; several are separated by commas.",
    )
}
