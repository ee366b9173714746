//! Every code that a problem can have. The only list: problems are built from it, the API description types them by it,
//! and each code has a page in `docs/errors/`.

use http::StatusCode;

use super::Extension;

/// Base URL of the codes' pages; the code follows.
const PAGES: &str = "https://wallex.dev/errors/";

macro_rules! codes {
    ($($variant:ident, $name:literal, $status:ident, $title:literal, [$($always:ident),*], [$($sometimes:ident),*], $detail:literal;)+) => {
        /// What a client branches on. A code never changes its meaning, and has one status and one title.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($variant,)+
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)+
                }
            }

            /// The same for people.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)+
                }
            }

            /// Members that every problem of this code has, beyond those of all problems.
            pub const fn always(self) -> &'static [Extension] {
                match self {
                    $(Self::$variant => &[$(Extension::$always),*],)+
                }
            }

            /// Members that some problems of this code have.
            pub const fn sometimes(self) -> &'static [Extension] {
                match self {
                    $(Self::$variant => &[$(Extension::$sometimes),*],)+
                }
            }

            /// A `detail` as one occurrence has it. For a code that always means the same, this is the one that is sent.
            pub(super) const fn detail(self) -> &'static str {
                match self {
                    $(Self::$variant => $detail,)+
                }
            }

            /// In capitals, as types are named: `InsufficientFunds`.
            pub(super) const fn type_name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

impl Code {
    /// The URL of the code's page: a problem's `type`.
    pub fn page(self) -> String {
        format!("{PAGES}{}", self.as_str())
    }
}

codes! {
    MalformedJson, "malformed_json", BAD_REQUEST, "Malformed JSON", [], [],
        "The body is not JSON: EOF while parsing an object at line 1 column 13.";
    IdempotencyKeyMissing, "idempotency_key_missing", BAD_REQUEST, "Idempotency-Key is missing", [], [],
        "Every write needs the header Idempotency-Key: a new one per intent, the same one per retry.";
    IdempotencyKeyInvalid, "idempotency_key_invalid", BAD_REQUEST, "Idempotency-Key is invalid", [], [],
        "Idempotency-Key must be 1 to 255 visible ASCII characters and appear only once.";
    PreconditionMalformed, "precondition_malformed", BAD_REQUEST, "Precondition malformed", [], [],
        "Wallex-Min-Position must be PARTITION:SEQ, for example 3:1042; several are separated by commas.";
    InvalidCursor, "invalid_cursor", BAD_REQUEST, "Invalid cursor", [], [],
        "This cursor does not come from this list. Pass next_cursor unchanged, to the same list.";
    NotFound, "not_found", NOT_FOUND, "Nothing here", [], [],
        "This role has no check `databse`.";
    WalletNotFound, "wallet_not_found", NOT_FOUND, "Wallet not found", [], [WalletId],
        "there is no wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f. The command changed nothing.";
    HoldNotFound, "hold_not_found", NOT_FOUND, "Hold not found", [HoldId], [],
        "there is no hold 0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b. The command changed nothing.";
    TransactionNotFound, "transaction_not_found", NOT_FOUND, "Transaction not found", [], [TransactionId],
        "there is no transaction 0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f. The command changed nothing.";
    AccountNotFound, "account_not_found", NOT_FOUND, "Account not found", [], [],
        "The ledger has no account external:CHF. If its first movement was made a moment ago, send that answer's Wallex-Position as Wallex-Min-Position.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed", [], [],
        "DELETE is not served at /v1/wallets; see the header Allow.";
    RequestTimeout, "request_timeout", REQUEST_TIMEOUT, "Request timeout", [], [],
        "The body did not arrive in time, nothing was done. Send the request again.";
    WalletExists, "wallet_exists", CONFLICT, "Wallet exists", [WalletId], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f already exists";
    ExternalIdTaken, "external_id_taken", CONFLICT, "External id is taken", [], [WalletId, TransactionId],
        "external id psp-9041 already belongs to transaction 0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f, which is a different movement";
    WalletFrozen, "wallet_frozen", CONFLICT, "Wallet is frozen", [WalletId], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f is frozen";
    WalletNotFrozen, "wallet_not_frozen", CONFLICT, "Wallet is not frozen", [WalletId], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f is not frozen";
    WalletClosed, "wallet_closed", CONFLICT, "Wallet is closed", [WalletId], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f is closed";
    WalletNotEmpty, "wallet_not_empty", CONFLICT, "Wallet is not empty", [WalletId, Balance, Held], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f has a balance of 7250 and 1000 held; both must be 0 to close it";
    HoldExists, "hold_exists", CONFLICT, "Hold exists", [HoldId], [],
        "hold 0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b already exists";
    HoldClosed, "hold_closed", CONFLICT, "Hold has ended", [HoldId, HoldStatus], [],
        "hold 0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b is already released";
    VersionMismatch, "version_mismatch", PRECONDITION_FAILED, "Wallet has another version", [Version], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f is at version 8, the command expects 7";
    BodyTooLarge, "body_too_large", PAYLOAD_TOO_LARGE, "Body too large", [], [],
        "A body may have at most 262144 bytes on this route.";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", [], [],
        "Send the body as Content-Type: application/json. If it names a charset, it must be utf-8.";
    ValidationFailed, "validation_failed", UNPROCESSABLE_ENTITY, "Validation failed", [Errors], [],
        "/amount must be an integer from 1 to 9000000000000000.";
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "Idempotency-Key was used for another request", [], [],
        "This key was already used for another request. Use a new key for a new intent.";
    CurrencyUnknown, "currency_unknown", UNPROCESSABLE_ENTITY, "Unknown currency", [Errors], [],
        "This platform has no currency XYZ. GET /v1/currencies lists its currencies; the platform's administrator can add one with the setting currencies.";
    InsufficientFunds, "insufficient_funds", UNPROCESSABLE_ENTITY, "Insufficient funds", [WalletId, Available], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f has 6250 available, but 9000 is needed";
    CurrencyMismatch, "currency_mismatch", UNPROCESSABLE_ENTITY, "Currencies differ", [], [],
        "wallets 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f (EUR) and 0198c0df-1a2b-7c3d-9e4f-5a6b7c8d9e0f (USD) have different currencies";
    SameWallet, "same_wallet", UNPROCESSABLE_ENTITY, "Same wallet twice", [], [],
        "source and destination are the same wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f";
    BalanceOverflow, "balance_overflow", UNPROCESSABLE_ENTITY, "Balance would overflow", [], [],
        "balance, held money or overdraft limit of wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f would go beyond 9007199254740991 minor units";
    OverdraftInUse, "overdraft_in_use", UNPROCESSABLE_ENTITY, "Overdraft is in use", [WalletId, Available], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f has -300 available, so its overdraft limit cannot be lowered to 100";
    CaptureTooLarge, "capture_too_large", UNPROCESSABLE_ENTITY, "More than the hold has", [HoldId, Held], [],
        "hold 0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b has 1000 set aside, but the capture is for 1200";
    TooManyHolds, "too_many_holds", UNPROCESSABLE_ENTITY, "Too many open holds", [WalletId, Limit], [],
        "wallet 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f already has 100 or more open holds, the most that a wallet may have";
    ExpiryPassed, "expiry_passed", UNPROCESSABLE_ENTITY, "Expiry is not in the future", [], [],
        "expires_at is not in the future";
    ExpiryNotLater, "expiry_not_later", UNPROCESSABLE_ENTITY, "Expiry is not later", [HoldId], [],
        "expires_at is not later than the end of hold 0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b; a hold that has none cannot be extended";
    NotReversible, "not_reversible", UNPROCESSABLE_ENTITY, "Transaction cannot be reversed", [TransactionId], [],
        "transaction 0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f moved no money that a reversal could take back";
    ReversalTooLarge, "reversal_too_large", UNPROCESSABLE_ENTITY, "More than is left to reverse", [TransactionId, Left], [],
        "3000 of transaction 0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f can still be reversed";
    BatchRejected, "batch_rejected", UNPROCESSABLE_ENTITY, "Batch rejected", [Index, Problem], [],
        "Command 1 was rejected, so none of this atomic batch was done; problem says why.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "Internal error", [], [],
        "The server failed to handle the request. Try again, and send a write with the same Idempotency-Key.";
    TransferEncodingUnsupported, "transfer_encoding_unsupported", NOT_IMPLEMENTED, "Transfer encoding not supported", [], [],
        "Of transfer encodings, only chunked is accepted: send the body uncompressed. Nothing was done.";
    QueueFull, "queue_full", SERVICE_UNAVAILABLE, "Too many commands at once", [], [],
        "The queue is full and nothing was stored. Try again with the same key.";
    OutcomeUnknown, "outcome_unknown", SERVICE_UNAVAILABLE, "Outcome unknown", [], [],
        "The outcome is not known yet; the command may or may not have taken effect. Retry with the same key to find out: it will not be done twice.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable", [], [Stale],
        "The service is busy; ask again.";
    PositionNotReached, "position_not_reached", SERVICE_UNAVAILABLE, "Position not reached", [Wanted, Reached], [],
        "The read model has not reached 3:1042 in time. It is catching up; ask again.";
}
