//! The problems that writes answer with, each under a stable code that has a page in `docs/errors/`.
//! Rejections are decided and stored; everything else here is refused before, and stores nothing.

use http::header::ACCEPT_ENCODING;
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use utoipa::IntoResponses;
use wallex_domain::{Currency, Rejection};
use wallex_journal::append::Answer;
use wallex_platform::http::{Extension, Invalid, Problem, ProblemBody};

/// What every write may be answered with, for the API description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the constructors below")]
pub(crate) enum AnyWrite {
    /// malformed_json, idempotency_key_missing, idempotency_key_invalid, precondition_malformed
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// body_too_large: more than 256 KiB, of a batch more than 20 MiB
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// unsupported_media_type
    #[response(status = 415, content_type = "application/problem+json", headers(("Accept-Encoding" = String, description = "When the body was encoded: what is taken instead")))]
    MediaType(ProblemBody),
    /// internal
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// queue_full, unavailable, outcome_unknown: retry with the same key
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}

/// What writes on existing wallets may be answered with as well.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the constructors below")]
pub(crate) enum OnWallets {
    /// wallet_not_found
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// version_mismatch
    #[response(status = 412, content_type = "application/problem+json")]
    VersionMismatch(ProblemBody),
}

/// What writes on holds may be answered with as well.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the constructors below")]
pub(crate) enum OnHolds {
    /// hold_not_found, wallet_not_found
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// version_mismatch
    #[response(status = 412, content_type = "application/problem+json")]
    VersionMismatch(ProblemBody),
}

/// What writes on transactions may be answered with as well.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the constructors below")]
pub(crate) enum OnTransactions {
    /// transaction_not_found
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// version_mismatch
    #[response(status = 412, content_type = "application/problem+json")]
    VersionMismatch(ProblemBody),
}

/// A rejection as the answer that is stored and replayed.
pub(crate) fn rejection(rejection: &Rejection) -> Problem {
    let detail = rejection.to_string();
    match rejection {
        Rejection::WalletExists(id) => {
            conflict("wallet_exists", "Wallet exists", detail).with(Extension::WalletId, json!(id))
        }
        Rejection::ExternalIdTaken { holder, .. } => {
            conflict("external_id_taken", "External id is taken", detail)
                .with(Extension::WalletId, json!(holder))
        }
        Rejection::MovementTaken { transaction_id, .. } => {
            conflict("external_id_taken", "External id is taken", detail)
                .with(Extension::TransactionId, json!(transaction_id))
        }
        Rejection::WalletNotFound(id) => {
            missing("wallet_not_found", "Wallet not found", &detail).with(Extension::WalletId, json!(id))
        }
        Rejection::InsufficientFunds {
            wallet_id, available, ..
        } => unprocessable("insufficient_funds", "Insufficient funds", detail)
            .with(Extension::WalletId, json!(wallet_id))
            .with(Extension::Available, json!(available)),
        Rejection::CurrencyMismatch { .. } => unprocessable("currency_mismatch", "Currencies differ", detail),
        Rejection::SameWallet(_) => unprocessable("same_wallet", "Same wallet twice", detail),
        Rejection::BalanceOverflow(_) => unprocessable("balance_overflow", "Balance would overflow", detail),
        Rejection::VersionMismatch { version, .. } => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            "Wallet has another version",
            detail,
        )
        .with(Extension::Version, json!(version)),
        Rejection::HoldExists(id) => {
            conflict("hold_exists", "Hold exists", detail).with(Extension::HoldId, json!(id))
        }
        Rejection::HoldNotFound(id) => {
            missing("hold_not_found", "Hold not found", &detail).with(Extension::HoldId, json!(id))
        }
        Rejection::HoldClosed { hold_id, status } => conflict("hold_closed", "Hold has ended", detail)
            .with(Extension::HoldId, json!(hold_id))
            .with(Extension::HoldStatus, json!(status.as_str())),
        Rejection::CaptureTooLarge { hold_id, held, .. } => {
            unprocessable("capture_too_large", "More than the hold has", detail)
                .with(Extension::HoldId, json!(hold_id))
                .with(Extension::Held, json!(held))
        }
        Rejection::TooManyHolds { wallet_id, limit } => {
            unprocessable("too_many_holds", "Too many open holds", detail)
                .with(Extension::WalletId, json!(wallet_id))
                .with(Extension::Limit, json!(limit))
        }
        Rejection::ExpiryPassed => unprocessable("expiry_passed", "Expiry is not in the future", detail),
        Rejection::TransactionNotFound(id) => {
            missing("transaction_not_found", "Transaction not found", &detail)
                .with(Extension::TransactionId, json!(id))
        }
        Rejection::NotReversible(id) => {
            unprocessable("not_reversible", "Transaction cannot be reversed", detail)
                .with(Extension::TransactionId, json!(id))
        }
        Rejection::ReversalTooLarge { transaction_id, left } => {
            unprocessable("reversal_too_large", "More than is left to reverse", detail)
                .with(Extension::TransactionId, json!(transaction_id))
                .with(Extension::Left, json!(left))
        }
        Rejection::WalletFrozen(id) => {
            conflict("wallet_frozen", "Wallet is frozen", detail).with(Extension::WalletId, json!(id))
        }
        Rejection::WalletNotFrozen(id) => {
            conflict("wallet_not_frozen", "Wallet is not frozen", detail).with(Extension::WalletId, json!(id))
        }
        Rejection::WalletClosed(id) => {
            conflict("wallet_closed", "Wallet is closed", detail).with(Extension::WalletId, json!(id))
        }
        Rejection::WalletNotEmpty {
            wallet_id,
            balance,
            held,
        } => conflict("wallet_not_empty", "Wallet is not empty", detail)
            .with(Extension::WalletId, json!(wallet_id))
            .with(Extension::Balance, json!(balance))
            .with(Extension::Held, json!(held)),
        Rejection::OverdraftInUse {
            wallet_id, available, ..
        } => unprocessable("overdraft_in_use", "Overdraft is in use", detail)
            .with(Extension::WalletId, json!(wallet_id))
            .with(Extension::Available, json!(available)),
    }
}

/// A problem in the form that is stored and replayed.
pub(crate) fn as_answer(problem: &Problem) -> Answer {
    Answer {
        status: problem.status().as_u16(),
        body: problem.to_body().into(),
        etag: None,
        position: None,
        location: None,
    }
}

/// `cause` is the problem of the command that is to blame.
pub(crate) fn batch_rejected(index: usize, cause: Value) -> Problem {
    unprocessable(
        "batch_rejected",
        "Batch rejected",
        format!("Command {index} was rejected, so none of this atomic batch was done; problem says why."),
    )
    .with(Extension::Index, json!(index))
    .with(Extension::Problem, cause)
}

fn conflict(code: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, title, detail)
}

fn missing(code: &'static str, title: &'static str, detail: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        code,
        title,
        format!("{detail}. The command changed nothing."),
    )
}

fn unprocessable(code: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail)
}

pub(crate) fn malformed_json(error: &serde_json::Error) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_json",
        "Malformed JSON",
        format!("The body is not JSON: {error}."),
    )
}

/// `pointer`: where the currency stands in the body.
pub(crate) fn currency_unknown(currency: Currency, pointer: &str) -> Problem {
    unprocessable(
        "currency_unknown",
        "Unknown currency",
        format!(
            "This platform has no currency {currency}. GET /v1/currencies lists its currencies; the platform's \
             administrator can add one with the setting currencies."
        ),
    )
    .with(
        Extension::Errors,
        vec![Value::from(Invalid::at(
            pointer,
            "must be a currency of this platform",
        ))],
    )
}

/// `limit` in bytes.
pub(crate) fn body_too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        "Body too large",
        format!("A body may have at most {limit} bytes on this route."),
    )
}

pub(crate) fn body_unreadable() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_json",
        "Malformed JSON",
        "The body ended before it was complete.",
    )
}

pub(crate) fn unsupported_media_type() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
        "Send the body as Content-Type: application/json. If it names a charset, it must be utf-8.",
    )
}

pub(crate) fn content_encoding() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
        "Compressed bodies are not accepted: send the body uncompressed, without Content-Encoding.",
    )
    .header(ACCEPT_ENCODING, "identity")
}

pub(crate) fn body_missing() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_json",
        "Malformed JSON",
        "There is no body. Send a JSON object; one without fields is {}.",
    )
}

pub(crate) fn idempotency_key_missing() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "idempotency_key_missing",
        "Idempotency-Key is missing",
        "Every write needs the header Idempotency-Key: a new one per intent, the same one per retry.",
    )
}

pub(crate) fn idempotency_key_invalid() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "idempotency_key_invalid",
        "Idempotency-Key is invalid",
        "Idempotency-Key must be 1 to 255 visible ASCII characters and appear only once.",
    )
}

pub(crate) fn idempotency_key_reused() -> Problem {
    unprocessable(
        "idempotency_key_reused",
        "Idempotency-Key was used for another request",
        "This key was already used for another request. Use a new key for a new intent.".to_owned(),
    )
}

pub(crate) fn precondition_malformed() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "precondition_malformed",
        "If-Match is malformed",
        "If-Match must be one quoted wallet version, as in the ETag header: \"7\". Creating a wallet and sending a batch \
         do not accept it.",
    )
}

/// A condition that is not `If-Match`.
pub(crate) fn precondition_foreign(condition: &HeaderName) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "precondition_malformed",
        "Precondition malformed",
        format!(
            "Writes do not support {condition}. The only condition they can check is If-Match with a wallet's version, \
             as in the ETag header: \"7\"."
        ),
    )
}

pub(crate) fn queue_full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "queue_full",
        "Too many commands at once",
        "The queue is full and nothing was stored. Try again with the same key.",
    )
    .retry_after(1)
}

pub(crate) fn outcome_unknown() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "outcome_unknown",
        "Outcome unknown",
        "The outcome is not known yet; the command may or may not have taken effect. Retry with the same key to find \
         out: it will not be done twice.",
    )
    .retry_after(1)
}

pub(crate) fn unavailable() -> Problem {
    Problem::unavailable(
        "The journal cannot be written at the moment; nothing was stored. Try again with the same key.",
    )
}
