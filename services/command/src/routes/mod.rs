//! The write routes: parse, queue, answer.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use uuid::Uuid;
use wallex_domain::{Change, Command, Hash, WalletId};
use wallex_journal::append::{Answer, Item, Reply, Request, Work};
use wallex_runtime::http::headers::{IDEMPOTENCY_REPLAYED, POSITION};
use wallex_runtime::http::{Code, Id, Problem, Problems};

use crate::answer::{CaptureResult, HoldResult, ReversalResult, TransferResult, WalletResult};
use crate::batch::{Batch, BatchBody, BatchResult};
use crate::headers::WriteHead;
use crate::item::Origin;
use crate::{CommandState, MAX_BATCH_BODY, MAX_BODY, body, item, problem};

type RawBody = Result<Bytes, BytesRejection>;

/// Creates a wallet, empty or with an initial balance.
#[utoipa::path(
    post, path = "/v1/wallets", tag = "wallets", operation_id = "createWallet",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry", min_length = 1, max_length = 255)),
    request_body = body::CreateWallet,
    responses(
        (status = 201, description = "Created", body = WalletResult, headers(("ETag" = String), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
    )
)]
pub(crate) async fn create_wallet(
    State(state): State<CommandState>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    let body: body::CreateWallet = body::parse(&read(&head, body, MAX_BODY)?)?;
    if head.expected_version.is_some() {
        return Err(problem::precondition_malformed());
    }
    if state.currencies.exponent(body.currency).is_none() {
        return Err(problem::currency_unknown(body.currency, "/currency"));
    }
    let fingerprint = head.fingerprint(&body)?;
    let item = item::create(origin(&head), body)?;
    submit(&state, head, fingerprint, Work::One(item)).await
}

macro_rules! on_path {
    ($(
        $(#[$doc:meta])*
        $name:ident: $path:literal, $tag:literal, $operation:literal, $id:literal, $body:ty => $answer:ty,
        rejections [$($rejection:ident),+], by $item:expr;
    )+) => {$(
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = $tag, operation_id = $operation,
            params(
                ("id" = Uuid, Path, description = $id),
                ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry", min_length = 1, max_length = 255),
                ("If-Match" = Option<String>, Header, description = "Only if the wallet (the one that pays) has this version, as in the ETag header", example = "\"7\""),
            ),
            request_body = $body,
            responses(
                (status = 201, description = "Done", body = $answer, headers(("ETag" = String), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
            )
        )]
        pub(crate) async fn $name(
            State(state): State<CommandState>,
            id: Id,
            head: WriteHead,
            body: RawBody,
        ) -> Result<Response, Problem> {
            let id = id.uuid();
            let body: $body = body::parse(&read(&head, body, MAX_BODY)?)?;
            let fingerprint = head.fingerprint(&body)?;
            let make: fn(Origin<'_>, Uuid, Option<i64>, $body) -> Result<Item, Problem> = $item;
            let item = make(origin(&head), id, head.expected_version, body)?;
            submit(&state, head, fingerprint, Work::One(item)).await
        }
    )+

    /// What these may be answered with beyond what every write may.
    const ON_PATH: &[Problems] = &[$(Problems { name: $operation, codes: &[$(Code::$rejection),+] }),+];
    };
}

on_path! {
    /// Adds money from outside to a wallet.
    credit: "/v1/wallets/{id}/credits", "wallets", "creditWallet", "The wallet's id", body::Movement => WalletResult,
    rejections [WalletNotFound, VersionMismatch, ExternalIdTaken, WalletClosed, BalanceOverflow],
    by |_, id, expected, body| item::movement(Command::Credit, id, expected, body);

    /// Takes money out of a wallet.
    debit: "/v1/wallets/{id}/debits", "wallets", "debitWallet", "The wallet's id", body::Movement => WalletResult,
    rejections [WalletNotFound, VersionMismatch, ExternalIdTaken, WalletFrozen, WalletClosed, InsufficientFunds],
    by |_, id, expected, body| item::movement(Command::Debit, id, expected, body);

    /// Sets money of a wallet aside.
    place_hold: "/v1/wallets/{id}/holds", "holds", "placeHold", "The wallet's id", body::PlaceHold => HoldResult,
    rejections [WalletNotFound, VersionMismatch, HoldExists, WalletFrozen, WalletClosed, InsufficientFunds, ExpiryPassed, TooManyHolds, BalanceOverflow],
    by item::place_hold;

    /// Takes what a hold has set aside, as a whole or in part; the rest becomes available again.
    capture_hold: "/v1/holds/{id}/capture", "holds", "captureHold", "The hold's id", body::CaptureHold => CaptureResult,
    rejections [HoldNotFound, WalletNotFound, VersionMismatch, ExternalIdTaken, HoldClosed, WalletFrozen, WalletClosed, CaptureTooLarge, CurrencyMismatch, SameWallet, BalanceOverflow],
    by |_, id, expected, body| item::capture_hold(id, expected, body);

    /// Ends a hold; all of it becomes available again.
    release_hold: "/v1/holds/{id}/release", "holds", "releaseHold", "The hold's id", body::ReleaseHold => HoldResult,
    rejections [HoldNotFound, VersionMismatch, HoldClosed],
    by |_, id, expected, body| item::release_hold(id, expected, body);

    /// Takes a transaction back, as a whole or in part. Who received the money pays it; several reversals may add up to
    /// the transaction's amount.
    reverse: "/v1/transactions/{id}/reversals", "transactions", "reverseTransaction", "The transaction's id", body::Reversal => ReversalResult,
    rejections [TransactionNotFound, VersionMismatch, ExternalIdTaken, WalletFrozen, WalletClosed, NotReversible, ReversalTooLarge, InsufficientFunds, BalanceOverflow],
    by |_, id, expected, body| item::reverse(id, expected, body);

    /// Freezes a wallet: no money leaves it until it is unfrozen; it still receives.
    freeze: "/v1/wallets/{id}/freeze", "wallets", "freezeWallet", "The wallet's id", body::Note => WalletResult,
    rejections [WalletNotFound, VersionMismatch, WalletFrozen, WalletClosed],
    by |_, id, expected, body| item::change(Change::Freeze, id, expected, body);

    /// Ends the freezing of a wallet.
    unfreeze: "/v1/wallets/{id}/unfreeze", "wallets", "unfreezeWallet", "The wallet's id", body::Note => WalletResult,
    rejections [WalletNotFound, VersionMismatch, WalletNotFrozen, WalletClosed],
    by |_, id, expected, body| item::change(Change::Unfreeze, id, expected, body);

    /// Closes a wallet for good. Its balance must be 0 and nothing may be held.
    close: "/v1/wallets/{id}/close", "wallets", "closeWallet", "The wallet's id", body::Note => WalletResult,
    rejections [WalletNotFound, VersionMismatch, WalletNotEmpty, WalletClosed],
    by |_, id, expected, body| item::change(Change::Close, id, expected, body);

    /// Sets how far below zero the available balance of a wallet may go.
    overdraft_limit: "/v1/wallets/{id}/overdraft-limit", "wallets", "setOverdraftLimit", "The wallet's id", body::OverdraftLimit => WalletResult,
    rejections [WalletNotFound, VersionMismatch, WalletClosed, OverdraftInUse],
    by |_, id, expected, body| item::overdraft_limit(id, expected, body);
}

/// What each write may be answered with beyond what every one may, by operation id.
pub(crate) fn rejections() -> impl Iterator<Item = Problems> {
    ON_PATH.iter().chain(ELSEWHERE).copied()
}

const ELSEWHERE: &[Problems] = &[
    Problems {
        name: "createWallet",
        codes: &[Code::WalletExists, Code::ExternalIdTaken, Code::CurrencyUnknown],
    },
    Problems {
        name: "eraseWallet",
        codes: &[Code::WalletNotFound, Code::VersionMismatch],
    },
    Problems {
        name: "transfer",
        codes: &[
            Code::WalletNotFound,
            Code::VersionMismatch,
            Code::ExternalIdTaken,
            Code::WalletFrozen,
            Code::WalletClosed,
            Code::InsufficientFunds,
            Code::CurrencyMismatch,
            Code::SameWallet,
            Code::BalanceOverflow,
        ],
    },
    Problems {
        name: "runBatch",
        codes: &[Code::BatchRejected],
    },
];

/// Erases a wallet's personal data: owner, descriptions and metadata up to now, on both sides of its movements. Amounts,
/// references and the hash chain stay.
#[utoipa::path(
    post, path = "/v1/wallets/{id}/erase", tag = "wallets", operation_id = "eraseWallet",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry", min_length = 1, max_length = 255),
        ("If-Match" = Option<String>, Header, description = "Only if the wallet has this version, as in the ETag header", example = "\"7\""),
    ),
    request_body = body::Erase,
    responses(
        (status = 201, description = "Erased", body = WalletResult, headers(("ETag" = String), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
    )
)]
pub(crate) async fn erase(
    State(state): State<CommandState>,
    id: Id,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    let id = id.uuid();
    let body: body::Erase = body::parse(&read(&head, body, MAX_BODY)?)?;
    let fingerprint = head.fingerprint(&body)?;
    let item = item::erase(id, head.expected_version)?;
    let response = submit(&state, head, fingerprint, Work::One(item)).await?;
    // Mostly done when the answer comes; what takes longer goes on in the background.
    state.upkeep.erase_soon(&[WalletId(id)]).await;
    Ok(response)
}

/// Moves money from one wallet to another.
#[utoipa::path(
    post, path = "/v1/transfers", tag = "transfers", operation_id = "transfer",
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry", min_length = 1, max_length = 255),
        ("If-Match" = Option<String>, Header, description = "Only if the source wallet has this version, as in the ETag header", example = "\"7\""),
    ),
    request_body = body::Transfer,
    responses(
        (status = 201, description = "Transferred", body = TransferResult, headers(("ETag" = String, description = "The source wallet's version"), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
    )
)]
pub(crate) async fn transfer(
    State(state): State<CommandState>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    let body: body::Transfer = body::parse(&read(&head, body, MAX_BODY)?)?;
    let fingerprint = head.fingerprint(&body)?;
    let item = item::transfer(head.expected_version, body)?;
    submit(&state, head, fingerprint, Work::One(item)).await
}

/// Runs up to 1,000 commands in one transaction, in order, under one key.
///
/// A batch has up to 20 MiB, each of its commands up to 256 KiB.
#[utoipa::path(
    post, path = "/v1/batches", tag = "batches", operation_id = "runBatch",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry. One for the whole batch", min_length = 1, max_length = 255)),
    request_body = BatchBody,
    responses(
        (status = 200, description = "Done; results has an answer per command", body = BatchResult, headers(("Wallex-Position" = String, description = "The last position in each partition"), ("Idempotency-Replayed" = String))),
    )
)]
pub(crate) async fn batch(
    State(state): State<CommandState>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    if head.expected_version.is_some() {
        return Err(problem::precondition_malformed());
    }
    let bytes = read(&head, body, MAX_BATCH_BODY)?;
    let batch = Batch::parse(&bytes, &state.currencies)?;
    let fingerprint = head.fingerprint(&batch)?;
    let work = batch.into_work(&head.caller, &head.key)?;
    drop(bytes);
    let erased: Vec<WalletId> = work
        .items()
        .iter()
        .filter_map(|item| item.command.erases())
        .collect();
    let response = submit(&state, head, fingerprint, work).await?;
    state.upkeep.erase_soon(&erased).await;
    Ok(response)
}

/// The body's JSON; `limit` is the one that the route has in [`crate::router`].
fn read(head: &WriteHead, body: RawBody, limit: usize) -> Result<Bytes, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => problem::body_too_large(limit),
        _ => problem::body_unreadable(),
    })?;
    head.json(body)
}

fn origin(head: &WriteHead) -> Origin<'_> {
    Origin {
        caller: &head.caller,
        key: &head.key,
        index: 0,
    }
}

async fn submit(
    state: &CommandState,
    head: WriteHead,
    fingerprint: Hash,
    work: Work,
) -> Result<Response, Problem> {
    let request = Request {
        caller: head.caller,
        key: Some(head.key),
        fingerprint,
        work,
        traceparent: head.traceparent,
    };
    match state.queue.submit(request).await {
        Ok(Reply::Answered { answer, replayed }) => Ok(response(answer, replayed)),
        Ok(Reply::NotFound(answer)) => Ok(response(answer, false)),
        Ok(Reply::KeyReused) => Err(problem::idempotency_key_reused()),
        Ok(Reply::Unavailable) => Err(problem::unavailable()),
        Ok(Reply::OutcomeUnknown) => Err(problem::outcome_unknown()),
        Ok(Reply::Failed) => Err(Problem::internal()),
        Err(_) => Err(problem::queue_full()),
    }
}

fn response(answer: Answer, replayed: bool) -> Response {
    // Written by this program from a valid status.
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    let json = if status.is_success() {
        "application/json"
    } else {
        "application/problem+json"
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(json));
    let value = |text: Option<String>| text.and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(etag) = value(answer.etag) {
        headers.insert(ETAG, etag);
    }
    if let Some(location) = value(answer.location) {
        headers.insert(LOCATION, location);
    }
    if let Some(position) = value(answer.position) {
        headers.insert(POSITION, position);
    }
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests;
