//! HTTP reads: a wallet, its history, one transaction. Everything comes from the schema `read_model`,
//! which the read-model projector writes; nothing here writes.
//!
//! The invariant: an answer is one snapshot of the read model, and when the caller names a position that
//! it must contain (`Wallex-Min-Position`), the snapshot that is answered from contains it.

mod answer;
mod cursor;
mod extract;
#[cfg(test)]
mod plans;
mod position;
mod problem;
mod routes;
mod statement;

use axum::Router;
use axum::routing::get;
use sqlx::PgPool;
use utoipa::OpenApi;

use crate::position::ReadModel;

/// What the routes share; built once, cloned per request.
#[derive(Clone)]
pub struct QueryState {
    read: ReadModel,
}

impl QueryState {
    /// Reads from `read`, a pool on the database that holds the schema `read_model`.
    pub fn new(read: PgPool) -> Self {
        Self {
            read: ReadModel::new(read),
        }
    }
}

/// The read routes, without fallbacks: whoever mounts them answers unknown paths and methods.
pub fn router(state: QueryState) -> Router {
    Router::new()
        .route("/v1/wallets/{id}", get(routes::wallet))
        .route("/v1/wallets/{id}/transactions", get(routes::history))
        .route("/v1/transactions/{id}", get(routes::transaction))
        .with_state(state)
}

#[derive(OpenApi)]
#[openapi(
    paths(routes::wallet, routes::history, routes::transaction),
    components(schemas(wallex_platform::http::ProblemBody))
)]
struct Documentation;

/// The OpenAPI description of the read routes alone, to be merged with the others.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Documentation::openapi()
}
