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
    let plain = |code| Problem::new(code, detail.clone());
    // The target of the command does not exist.
    let missing = |code| Problem::new(code, format!("{detail}. The command changed nothing."));
    let about = |code, member, value: Value| plain(code).with(member, value);
    match rejection {
        Rejection::WalletExists(id) => about(Code::WalletExists, Extension::WalletId, json!(id)),
        Rejection::ExternalIdTaken { holder, .. } => {
            about(Code::ExternalIdTaken, Extension::WalletId, json!(holder))
        }
        Rejection::MovementTaken { transaction_id, .. } => about(
            Code::ExternalIdTaken,
            Extension::TransactionId,
            json!(transaction_id),
        ),
        Rejection::WalletNotFound(id) => missing(Code::WalletNotFound).with(Extension::WalletId, json!(id)),
        Rejection::InsufficientFunds {
            wallet_id, available, ..
        } => about(Code::InsufficientFunds, Extension::WalletId, json!(wallet_id))
            .with(Extension::Available, json!(available)),
        Rejection::CurrencyMismatch { .. } => plain(Code::CurrencyMismatch),
        Rejection::SameWallet(_) => plain(Code::SameWallet),
        Rejection::BalanceOverflow(_) => plain(Code::BalanceOverflow),
        Rejection::VersionMismatch { version, .. } => {
            about(Code::VersionMismatch, Extension::Version, json!(version))
        }
        Rejection::HoldExists(id) => about(Code::HoldExists, Extension::HoldId, json!(id)),
        Rejection::HoldNotFound(id) => missing(Code::HoldNotFound).with(Extension::HoldId, json!(id)),
        Rejection::HoldClosed { hold_id, status } => {
            about(Code::HoldClosed, Extension::HoldId, json!(hold_id))
                .with(Extension::HoldStatus, json!(status.as_str()))
        }
        Rejection::CaptureTooLarge { hold_id, held, .. } => {
            about(Code::CaptureTooLarge, Extension::HoldId, json!(hold_id)).with(Extension::Held, json!(held))
        }
        Rejection::TooManyHolds { wallet_id, limit } => {
            about(Code::TooManyHolds, Extension::WalletId, json!(wallet_id))
                .with(Extension::Limit, json!(limit))
        }
        Rejection::ExpiryPassed => plain(Code::ExpiryPassed),
        Rejection::ExpiryNotLater(id) => about(Code::ExpiryNotLater, Extension::HoldId, json!(id)),
        Rejection::TransactionNotFound(id) => {
            missing(Code::TransactionNotFound).with(Extension::TransactionId, json!(id))
        }
        Rejection::NotReversible(id) => about(Code::NotReversible, Extension::TransactionId, json!(id)),
        Rejection::ReversalTooLarge { transaction_id, left } => about(
            Code::ReversalTooLarge,
            Extension::TransactionId,
            json!(transaction_id),
        )
        .with(Extension::Left, json!(left)),
        Rejection::WalletFrozen(id) => about(Code::WalletFrozen, Extension::WalletId, json!(id)),
        Rejection::WalletNotFrozen(id) => about(Code::WalletNotFrozen, Extension::WalletId, json!(id)),
        Rejection::WalletClosed(id) => about(Code::WalletClosed, Extension::WalletId, json!(id)),
        Rejection::WalletNotEmpty {
            wallet_id,
            balance,
            held,
        } => about(Code::WalletNotEmpty, Extension::WalletId, json!(wallet_id))
            .with(Extension::Balance, json!(balance))
            .with(Extension::Held, json!(held)),
        Rejection::OverdraftInUse {
            wallet_id, available, ..
        } => about(Code::OverdraftInUse, Extension::WalletId, json!(wallet_id))
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

pub(crate) fn unavailable() -> Problem {
    Problem::unavailable(
        "The journal cannot be written at the moment; nothing was stored. Try again with the same key.",
    )
}
