//! The whole HTTP API: the routes of the command and query crates, and their description.

use axum::Router;

use crate::openapi;

/// Both halves: what the command role and `dev` serve.
pub(crate) fn full(command: wallex_command::CommandState, query: wallex_query::QueryState) -> Router {
    // axum merges a path that both halves serve with different methods.
    wallex_command::router(command)
        .merge(wallex_query::router(query))
        .merge(openapi::route(openapi::full()))
}

/// Reads only.
pub(crate) fn reads(query: wallex_query::QueryState) -> Router {
    wallex_query::router(query).merge(openapi::route(openapi::reads()))
}
