//! The HTTP API as one: the routes of the command and query crates, and their OpenAPI description.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::{InfoBuilder, OpenApi};

/// Both halves: what the command role and `dev` serve.
pub(crate) fn full(command: wallex_command::CommandState, query: wallex_query::QueryState) -> Router {
    let mut description = wallex_command::openapi();
    description.merge(wallex_query::openapi());
    // A path that both halves serve, by different methods, is merged by axum.
    wallex_command::router(command)
        .merge(wallex_query::router(query))
        .merge(described(description))
}

/// Reads only.
pub(crate) fn reads(query: wallex_query::QueryState) -> Router {
    wallex_query::router(query).merge(described(wallex_query::openapi()))
}

fn described(mut description: OpenApi) -> Router {
    description.info = InfoBuilder::new()
        .title("Wallex")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Event-sourced wallets. Amounts are integers in minor units of the wallet's currency.",
        ))
        .build();
    Router::new().route("/openapi.json", get(move || async move { Json(description) }))
}
