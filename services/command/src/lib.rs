//! HTTP writes: create, credit, debit, transfer. A request is parsed and typed here, waits in a bounded
//! queue, and is answered with what the journal committed.
//!
//! The invariant: a 2xx leaves this crate only after the transaction that holds its events and its answer
//! was committed.

mod answer;
mod batcher;
mod body;
mod headers;
mod problem;
mod routes;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use utoipa::OpenApi;
use wallex_domain::Currencies;

pub use answer::render;
pub use batcher::{Batcher, BatcherConfig, Enqueue};

/// Bytes of a request body at most.
const MAX_BODY: usize = 256 * 1024;

/// What the routes share; built once, cloned per request.
#[derive(Clone)]
pub struct CommandState {
    pub(crate) queue: Enqueue,
    pub(crate) currencies: std::sync::Arc<Currencies>,
}

impl CommandState {
    pub fn new(queue: Enqueue, currencies: Currencies) -> Self {
        Self {
            queue,
            currencies: currencies.into(),
        }
    }
}

/// The write routes, without fallbacks: whoever mounts them answers unknown paths and methods.
pub fn router(state: CommandState) -> Router {
    Router::new()
        .route("/v1/wallets", post(routes::create_wallet))
        .route("/v1/wallets/{id}/credits", post(routes::credit))
        .route("/v1/wallets/{id}/debits", post(routes::debit))
        .route("/v1/transfers", post(routes::transfer))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

#[derive(OpenApi)]
#[openapi(
    paths(routes::create_wallet, routes::credit, routes::debit, routes::transfer),
    components(schemas(wallex_platform::http::ProblemBody))
)]
struct Documentation;

/// The OpenAPI description of the write routes alone, to be merged with the others.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Documentation::openapi()
}
