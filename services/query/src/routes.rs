//! The read routes: parse, read from one snapshot, answer.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, ETAG};
use wallex_platform::http::{Problem, ProblemBody};

use crate::QueryState;
use crate::answer::{EntryBody, PageBody, TransactionBody, WalletBody};
use crate::cursor;
use crate::extract::{Id, MinPosition, NoParameters, Page};
use crate::problem::ReadError;
use crate::statement;

/// Balances change at any moment: no cache on the way may keep one.
const NO_STORE: (http::HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// Reads a wallet with its balance.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}",
    tag = "wallets",
    operation_id = "getWallet",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions, as a Wallex-Position said them", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "The wallet", body = WalletBody, headers(("ETag" = String, description = "The wallet's version, quoted"))),
        (status = 400, description = "precondition_malformed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "wallet_not_found", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "validation_failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "position_not_reached, unavailable", body = ProblemBody, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub(crate) async fn wallet(
    State(state): State<QueryState>,
    Id(id): Id,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<impl IntoResponse, Problem> {
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let Some(row) = statement::wallet(&mut snapshot, id).await? else {
        return Err(missing(&mut snapshot, id).await.into());
    };
    end(snapshot).await?;
    let body = WalletBody::try_from(row).map_err(ReadError::from)?;
    let etag = format!("\"{}\"", body.version);
    Ok(([(ETAG, etag.as_str()), NO_STORE], Json(body)).into_response())
}

/// Reads a wallet's history, newest first.
#[utoipa::path(
    get,
    path = "/v1/wallets/{id}/transactions",
    tag = "wallets",
    operation_id = "listWalletTransactions",
    params(
        ("id" = Uuid, Path, description = "The wallet's id"),
        ("limit" = Option<u16>, Query, description = "Entries on the page, 50 unless said", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "A page of entries", body = PageBody),
        (status = 400, description = "invalid_cursor, precondition_malformed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "wallet_not_found", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "validation_failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "position_not_reached, unavailable", body = ProblemBody, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub(crate) async fn history(
    State(state): State<QueryState>,
    Id(id): Id,
    page: Page,
    MinPosition(wanted): MinPosition,
) -> Result<impl IntoResponse, Problem> {
    let below = match &page.cursor {
        None => i64::MAX,
        Some(text) => cursor::decode(id, text).map_err(|_| ReadError::InvalidCursor(id))?,
    };
    let mut snapshot = state.read.snapshot(&wanted).await?;
    // One more than the page tells whether there is a next one, without counting.
    let mut rows = statement::history(&mut snapshot, id, below, page.limit + 1).await?;
    let stale = match rows.first() {
        Some(row) => row.stale,
        // A wallet has at least the entry of its creation, so this is past the end or no wallet.
        None => match statement::wallet(&mut snapshot, id).await? {
            Some(wallet) => wallet.stale,
            None => return Err(missing(&mut snapshot, id).await.into()),
        },
    };
    end(snapshot).await?;

    let page_length = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = rows.len() > page_length;
    rows.truncate(page_length);
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|last| cursor::encode(id, last.version));
    let items = rows
        .into_iter()
        .map(EntryBody::try_from)
        .collect::<Result<_, _>>()
        .map_err(ReadError::from)?;
    Ok((
        [NO_STORE],
        Json(PageBody {
            items,
            next_cursor,
            stale,
        }),
    )
        .into_response())
}

/// Reads one transaction with what it did to each wallet.
#[utoipa::path(
    get,
    path = "/v1/transactions/{id}",
    tag = "transactions",
    operation_id = "getTransaction",
    params(
        ("id" = Uuid, Path, description = "The transaction's id"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the answer contains these positions; with both of a transfer's, the answer is complete", example = "3:1042,7:88"),
    ),
    responses(
        (status = 200, description = "The transaction", body = TransactionBody),
        (status = 400, description = "precondition_malformed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "transaction_not_found", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "validation_failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "position_not_reached, unavailable", body = ProblemBody, content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub(crate) async fn transaction(
    State(state): State<QueryState>,
    Id(id): Id,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<impl IntoResponse, Problem> {
    let mut snapshot = state.read.snapshot(&wanted).await?;
    let rows = statement::transaction(&mut snapshot, id).await?;
    end(snapshot).await?;
    let body = TransactionBody::of(id, rows).map_err(ReadError::from)?;
    let body = body.ok_or(ReadError::TransactionNotFound(id))?;
    Ok(([NO_STORE], Json(body)).into_response())
}

/// Why there is no row for the wallet: unknown, or its very first event is parked.
async fn missing(snapshot: &mut sqlx::PgConnection, id: uuid::Uuid) -> ReadError {
    match statement::parked(snapshot, id).await {
        Ok(false) => ReadError::WalletNotFound(id),
        Ok(true) => ReadError::WalletParked(id),
        Err(error) => error,
    }
}

/// Gives the connection back clean, before the answer is written out.
async fn end(snapshot: sqlx::Transaction<'static, sqlx::Postgres>) -> Result<(), ReadError> {
    Ok(snapshot.commit().await?)
}
