//! The write routes: parse, queue, answer.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use uuid::Uuid;
use wallex_domain::{Amount, Command, PersonalData, WalletId};
use wallex_domain::{CreateWallet, Movement, Transfer};
use wallex_journal::append::{Answer, Reply, Request};
use wallex_journal::personal::Sealed;
use wallex_journal::route::derived_wallet_id;
use wallex_platform::http::{Problem, ProblemBody};

use crate::answer::{MovementAnswer, TransferAnswer};
use crate::headers::WriteHead;
use crate::problem::{AnyWrite, OnWallets};
use crate::{CommandState, body, problem};

type RawBody = Result<Bytes, BytesRejection>;

/// Creates a wallet, empty or with an initial balance.
#[utoipa::path(
    post, path = "/v1/wallets", tag = "wallets", operation_id = "createWallet",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry")),
    request_body = body::CreateWallet,
    responses(
        (status = 201, description = "Created", body = MovementAnswer, headers(("ETag" = String), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        AnyWrite,
        (status = 409, description = "wallet_exists, external_id_taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "validation_failed, currency_unknown, idempotency_key_reused", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_wallet(
    State(state): State<CommandState>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    let body: body::CreateWallet = body::parse(&read(body)?)?;
    if head.expected_version.is_some() {
        return Err(problem::precondition_malformed());
    }
    if state.currencies.exponent(body.currency).is_none() {
        return Err(problem::currency_unknown(body.currency));
    }
    let wallet_id = body
        .id
        .map_or_else(|| derived_wallet_id(&head.caller, &head.key), WalletId);
    let fingerprint = head.fingerprint(&body).map_err(|_| Problem::internal())?;
    let personal = seal(&body.personal())?;
    let command = Command::Create(CreateWallet {
        wallet_id,
        external_id: body.external_id,
        currency: body.currency,
        initial_balance: body.initial_balance.and_then(|minor| Amount::new(minor).ok()),
        personal: personal.as_ref().map(Sealed::digest),
    });
    submit(&state, request(head, fingerprint, command, personal)).await
}

/// Adds money from outside to a wallet.
#[utoipa::path(
    post, path = "/v1/wallets/{id}/credits", tag = "wallets", operation_id = "creditWallet",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry"),
        ("If-Match" = Option<String>, Header, description = "Only if the wallet has this version, as an ETag said it", example = "\"7\""),
    ),
    request_body = body::Movement,
    responses(
        (status = 201, description = "Credited", body = MovementAnswer, headers(("ETag" = String), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        AnyWrite,
        OnWallets,
        (status = 422, description = "validation_failed, balance_overflow, idempotency_key_reused", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn credit(
    State(state): State<CommandState>,
    id: Result<Path<Uuid>, axum::extract::rejection::PathRejection>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    movement(&state, id, head, body, Command::Credit).await
}

/// Takes money out of a wallet.
#[utoipa::path(
    post, path = "/v1/wallets/{id}/debits", tag = "wallets", operation_id = "debitWallet",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry"),
        ("If-Match" = Option<String>, Header, description = "Only if the wallet has this version, as an ETag said it", example = "\"7\""),
    ),
    request_body = body::Movement,
    responses(
        (status = 201, description = "Debited", body = MovementAnswer, headers(("ETag" = String), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        AnyWrite,
        OnWallets,
        (status = 422, description = "validation_failed, insufficient_funds, idempotency_key_reused", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn debit(
    State(state): State<CommandState>,
    id: Result<Path<Uuid>, axum::extract::rejection::PathRejection>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    movement(&state, id, head, body, Command::Debit).await
}

/// Moves money from one wallet to another.
#[utoipa::path(
    post, path = "/v1/transfers", tag = "transfers", operation_id = "transfer",
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry"),
        ("If-Match" = Option<String>, Header, description = "Only if the source wallet has this version, as an ETag said it", example = "\"7\""),
    ),
    request_body = body::Transfer,
    responses(
        (status = 201, description = "Transferred", body = TransferAnswer, headers(("ETag" = String, description = "The source wallet's version"), ("Wallex-Position" = String), ("Location" = String), ("Idempotency-Replayed" = String))),
        AnyWrite,
        OnWallets,
        (status = 422, description = "validation_failed, insufficient_funds, currency_mismatch, same_wallet, balance_overflow, idempotency_key_reused", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn transfer(
    State(state): State<CommandState>,
    head: WriteHead,
    body: RawBody,
) -> Result<Response, Problem> {
    let body: body::Transfer = body::parse(&read(body)?)?;
    let fingerprint = head.fingerprint(&body).map_err(|_| Problem::internal())?;
    let personal = seal(&body.personal())?;
    let command = Command::Transfer(Transfer {
        from: WalletId(body.from),
        to: WalletId(body.to),
        amount: body.amount,
        reference: body.reference,
        personal: personal.as_ref().map(Sealed::digest),
        expected_version: head.expected_version,
    });
    submit(&state, request(head, fingerprint, command, personal)).await
}

async fn movement(
    state: &CommandState,
    id: Result<Path<Uuid>, axum::extract::rejection::PathRejection>,
    head: WriteHead,
    body: RawBody,
    command: fn(Movement) -> Command,
) -> Result<Response, Problem> {
    let Ok(Path(id)) = id else {
        return Err(problem::invalid_id());
    };
    let body: body::Movement = body::parse(&read(body)?)?;
    let fingerprint = head.fingerprint(&body).map_err(|_| Problem::internal())?;
    let personal = seal(&body.personal())?;
    let command = command(Movement {
        wallet_id: WalletId(id),
        amount: body.amount,
        reference: body.reference,
        personal: personal.as_ref().map(Sealed::digest),
        expected_version: head.expected_version,
    });
    submit(state, request(head, fingerprint, command, personal)).await
}

fn read(body: RawBody) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => problem::body_too_large(),
        _ => problem::body_unreadable(),
    })
}

fn seal(personal: &PersonalData) -> Result<Option<Sealed>, Problem> {
    Sealed::new(personal, rand::random()).map_err(|_| Problem::internal())
}

fn request(
    head: WriteHead,
    fingerprint: wallex_domain::Hash,
    command: Command,
    personal: Option<Sealed>,
) -> Request {
    let WriteHead {
        caller,
        key,
        traceparent,
        ..
    } = head;
    Request {
        caller,
        key,
        fingerprint,
        command,
        personal,
        traceparent,
    }
}

async fn submit(state: &CommandState, request: Request) -> Result<Response, Problem> {
    match state.queue.submit(request).await {
        Ok(Reply::Answered { answer, replayed }) => Ok(response(answer, replayed)),
        Ok(Reply::KeyReused) => Err(problem::idempotency_key_reused()),
        Ok(Reply::WalletNotFound(id)) => Err(problem::wallet_not_found(id)),
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
    for (name, value) in [
        (ETAG, answer.etag),
        (LOCATION, answer.location),
        (http::HeaderName::from_static("wallex-position"), answer.position),
    ] {
        if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    if replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}
