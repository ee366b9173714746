//! HTTP writes: wallets, movements, transfers, holds, reversals, batches. A request is parsed and typed here, waits in a bounded
//! queue, and is answered with what the journal committed.
//!
//! The invariant: a 2xx leaves this crate only after the transaction that holds its events and its answer
//! was committed.

mod answer;
mod batch;
mod batcher;
mod body;
mod fields;
mod headers;
mod item;
mod json;
mod metrics;
mod problem;
mod routes;
pub mod upkeep;
mod value;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use sqlx::PgPool;
use utoipa::OpenApi;
use wallex_domain::Currencies;

pub use answer::RENDER;
pub use batcher::{Batcher, BatcherConfig, Enqueue};

/// Bytes of a request body at most, and of one command of a batch.
const MAX_BODY: usize = 256 * 1024;
/// Bytes of a batch at most. 1,000 commands with the longest reference, external id and description take 6 MB in characters
/// of four bytes each, and 18 MB when a client escapes them (`\ud83d\ude00`); the rest is for metadata. Its commands are
/// read one by one, so that no more than one is spread out at a time.
const MAX_BATCH_BODY: usize = 20 * 1024 * 1024;

/// What the routes share; built once, cloned per request.
#[derive(Clone)]
pub struct CommandState {
    pub(crate) queue: Enqueue,
    pub(crate) currencies: std::sync::Arc<Currencies>,
    pub(crate) upkeep: upkeep::Upkeep,
}

impl CommandState {
    /// `journal` is a pool on the journal's database, for what goes on beside the queue.
    pub fn new(queue: Enqueue, currencies: Currencies, journal: PgPool) -> Self {
        Self {
            queue,
            currencies: currencies.into(),
            upkeep: upkeep::Upkeep::new(journal),
        }
    }
}

/// The write routes, without fallbacks: whoever mounts them answers unknown paths and methods.
pub fn router(state: CommandState) -> Router {
    Router::new()
        .route("/v1/wallets", post(routes::create_wallet))
        .route("/v1/wallets/{id}/credits", post(routes::credit))
        .route("/v1/wallets/{id}/debits", post(routes::debit))
        .route("/v1/wallets/{id}/holds", post(routes::place_hold))
        .route("/v1/wallets/{id}/freeze", post(routes::freeze))
        .route("/v1/wallets/{id}/unfreeze", post(routes::unfreeze))
        .route("/v1/wallets/{id}/close", post(routes::close))
        .route("/v1/wallets/{id}/overdraft-limit", post(routes::overdraft_limit))
        .route("/v1/wallets/{id}/erase", post(routes::erase))
        .route("/v1/transfers", post(routes::transfer))
        .route("/v1/holds/{id}/capture", post(routes::capture_hold))
        .route("/v1/holds/{id}/release", post(routes::release_hold))
        .route("/v1/transactions/{id}/reversals", post(routes::reverse))
        .route(
            "/v1/batches",
            post(routes::batch).layer(DefaultBodyLimit::max(MAX_BATCH_BODY)),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

#[derive(OpenApi)]
#[openapi(
    paths(
        routes::create_wallet,
        routes::credit,
        routes::debit,
        routes::freeze,
        routes::unfreeze,
        routes::close,
        routes::overdraft_limit,
        routes::erase,
        routes::transfer,
        routes::place_hold,
        routes::capture_hold,
        routes::release_hold,
        routes::reverse,
        routes::batch,
    ),
    components(schemas(wallex_platform::http::ProblemBody))
)]
struct Documentation;

/// The OpenAPI description of the write routes alone, to be merged with the others.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Documentation::openapi();
    for path in routes::BODY_MAY_BE_ABSENT {
        let operation = description
            .paths
            .paths
            .get_mut(path)
            .and_then(|path| path.post.as_mut());
        let body = operation.and_then(|operation| operation.request_body.as_mut());
        if let Some(utoipa::openapi::RefOr::T(body)) = body {
            body.required = Some(utoipa::openapi::Required::False);
            body.description = Some("No body is the same as {}".to_owned());
        }
    }
    description
}
