//! The problems that writes answer with, each under a stable code that has a page in `docs/errors/`.
//! Rejections are decided and stored; everything else here is refused earlier and stores nothing.

use http::HeaderName;
use http::header::ACCEPT_ENCODING;
use serde_json::{Value, json};
use wallex_domain::{Currency, Rejection};
use wallex_journal::append::Answer;
use wallex_runtime::http::{Code, Extension, Invalid, Problem, Problems};

/// The problems that any write may be answered with.
pub(crate) const WRITE: Problems = Problems {
    name: "write",
    codes: &[
        Code::MalformedJson,
        Code::IdempotencyKeyMissing,
        Code::IdempotencyKeyInvalid,
        Code::PreconditionMalformed,
        Code::RequestTimeout,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::ValidationFailed,
        Code::IdempotencyKeyReused,
        Code::Internal,
        Code::TransferEncodingUnsupported,
        Code::QueueFull,
        Code::Unavailable,
        Code::OutcomeUnknown,
    ],
};

/// A rejection as the problem that is stored and replayed.
pub(crate) fn rejection(rejection: &Rejection) -> Problem {
    let detail = rejection.to_string();
    match rejection {
        Rejection::WalletExists(id) => {
            Problem::new(Code::WalletExists, detail).with(Extension::WalletId, json!(id))
        }
        Rejection::ExternalIdTaken { holder, .. } => {
            Problem::new(Code::ExternalIdTaken, detail).with(Extension::WalletId, json!(holder))
        }
        Rejection::MovementTaken { transaction_id, .. } => {
            Problem::new(Code::ExternalIdTaken, detail).with(Extension::TransactionId, json!(transaction_id))
        }
        Rejection::WalletNotFound(id) => {
            missing(Code::WalletNotFound, &detail).with(Extension::WalletId, json!(id))
        }
        Rejection::InsufficientFunds {
            wallet_id, available, ..
        } => Problem::new(Code::InsufficientFunds, detail)
            .with(Extension::WalletId, json!(wallet_id))
            .with(Extension::Available, json!(available)),
        Rejection::CurrencyMismatch { .. } => Problem::new(Code::CurrencyMismatch, detail),
        Rejection::SameWallet(_) => Problem::new(Code::SameWallet, detail),
        Rejection::BalanceOverflow(_) => Problem::new(Code::BalanceOverflow, detail),
        Rejection::VersionMismatch { version, .. } => {
            Problem::new(Code::VersionMismatch, detail).with(Extension::Version, json!(version))
        }
        Rejection::HoldExists(id) => {
            Problem::new(Code::HoldExists, detail).with(Extension::HoldId, json!(id))
        }
        Rejection::HoldNotFound(id) => {
            missing(Code::HoldNotFound, &detail).with(Extension::HoldId, json!(id))
        }
        Rejection::HoldClosed { hold_id, status } => Problem::new(Code::HoldClosed, detail)
            .with(Extension::HoldId, json!(hold_id))
            .with(Extension::HoldStatus, json!(status.as_str())),
        Rejection::CaptureTooLarge { hold_id, held, .. } => Problem::new(Code::CaptureTooLarge, detail)
            .with(Extension::HoldId, json!(hold_id))
            .with(Extension::Held, json!(held)),
        Rejection::TooManyHolds { wallet_id, limit } => Problem::new(Code::TooManyHolds, detail)
            .with(Extension::WalletId, json!(wallet_id))
            .with(Extension::Limit, json!(limit)),
        Rejection::ExpiryPassed => Problem::new(Code::ExpiryPassed, detail),
        Rejection::ExpiryNotLater(id) => {
            Problem::new(Code::ExpiryNotLater, detail).with(Extension::HoldId, json!(id))
        }
        Rejection::TransactionNotFound(id) => {
            missing(Code::TransactionNotFound, &detail).with(Extension::TransactionId, json!(id))
        }
        Rejection::NotReversible(id) => {
            Problem::new(Code::NotReversible, detail).with(Extension::TransactionId, json!(id))
        }
        Rejection::ReversalTooLarge { transaction_id, left } => Problem::new(Code::ReversalTooLarge, detail)
            .with(Extension::TransactionId, json!(transaction_id))
            .with(Extension::Left, json!(left)),
        Rejection::WalletFrozen(id) => {
            Problem::new(Code::WalletFrozen, detail).with(Extension::WalletId, json!(id))
        }
        Rejection::WalletNotFrozen(id) => {
            Problem::new(Code::WalletNotFrozen, detail).with(Extension::WalletId, json!(id))
        }
        Rejection::WalletClosed(id) => {
            Problem::new(Code::WalletClosed, detail).with(Extension::WalletId, json!(id))
        }
        Rejection::WalletNotEmpty {
            wallet_id,
            balance,
            held,
        } => Problem::new(Code::WalletNotEmpty, detail)
            .with(Extension::WalletId, json!(wallet_id))
            .with(Extension::Balance, json!(balance))
            .with(Extension::Held, json!(held)),
        Rejection::OverdraftInUse {
            wallet_id, available, ..
        } => Problem::new(Code::OverdraftInUse, detail)
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

/// `cause` is the problem of the command that caused the rejection.
pub(crate) fn batch_rejected(index: usize, cause: Value) -> Problem {
    Problem::new(
        Code::BatchRejected,
        format!("Command {index} was rejected, so none of this atomic batch was done; problem says why."),
    )
    .with(Extension::Index, json!(index))
    .with(Extension::Problem, cause)
}

/// The target of the command does not exist.
fn missing(code: Code, detail: &str) -> Problem {
    Problem::new(code, format!("{detail}. The command changed nothing."))
}

pub(crate) fn malformed_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::MalformedJson, format!("The body is not JSON: {error}."))
}

/// `pointer` says where the currency is in the body.
pub(crate) fn currency_unknown(currency: Currency, pointer: &str) -> Problem {
    Problem::new(
        Code::CurrencyUnknown,
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
        Code::BodyTooLarge,
        format!("A body may have at most {limit} bytes on this route."),
    )
}

pub(crate) fn body_unreadable() -> Problem {
    Problem::new(Code::MalformedJson, "The body ended before it was complete.")
}

pub(crate) fn unsupported_media_type() -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        "Send the body as Content-Type: application/json. If it names a charset, it must be utf-8.",
    )
}

pub(crate) fn content_encoding() -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        "Compressed bodies are not accepted: send the body uncompressed, without Content-Encoding.",
    )
    .header(ACCEPT_ENCODING, "identity")
}

pub(crate) fn body_missing() -> Problem {
    Problem::new(
        Code::MalformedJson,
        "There is no body. Send a JSON object; one without fields is {}.",
    )
}

pub(crate) fn idempotency_key_missing() -> Problem {
    Problem::new(
        Code::IdempotencyKeyMissing,
        "Every write needs the header Idempotency-Key: a new one per intent, the same one per retry.",
    )
}

pub(crate) fn idempotency_key_invalid() -> Problem {
    Problem::new(
        Code::IdempotencyKeyInvalid,
        "Idempotency-Key must be 1 to 255 visible ASCII characters and appear only once.",
    )
}

pub(crate) fn idempotency_key_reused() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReused,
        "This key was already used for another request. Use a new key for a new intent.",
    )
}

pub(crate) fn precondition_malformed() -> Problem {
    Problem::new(
        Code::PreconditionMalformed,
        "If-Match must be one quoted wallet version, as in the ETag header: \"7\". Creating a wallet and sending a batch \
         do not accept it.",
    )
}

/// A condition other than `If-Match`.
pub(crate) fn precondition_foreign(condition: &HeaderName) -> Problem {
    Problem::new(
        Code::PreconditionMalformed,
        format!(
            "Writes do not support {condition}. The only condition they can check is If-Match with a wallet's version, \
             as in the ETag header: \"7\"."
        ),
    )
}

pub(crate) fn queue_full() -> Problem {
    Problem::new(
        Code::QueueFull,
        "The queue is full and nothing was stored. Try again with the same key.",
    )
    .retry_after(1)
}

pub(crate) fn outcome_unknown() -> Problem {
    Problem::new(
        Code::OutcomeUnknown,
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
