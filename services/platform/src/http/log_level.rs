//! `/log-level`: what the process logs, shown and changed while it runs. Only for whoever is on the same machine or in
//! the same pod; there is nothing here for everybody else. No part of the described interface.

use axum::Router;
use axum::extract::Extension;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;

use super::Problem;
use crate::telemetry;

/// Marks requests that came over the loopback interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

pub(super) fn routes() -> Router {
    Router::new().route("/log-level", get(show).put(change))
}

async fn show(local: Option<Extension<Local>>) -> Response {
    match (local, telemetry::current()) {
        (Some(_), Some(current)) => format!("{current}\n").into_response(),
        (None, _) | (_, None) => nothing_here(),
    }
}

async fn change(local: Option<Extension<Local>>, log: String) -> Response {
    if local.is_none() {
        return nothing_here();
    }
    let log = log.trim();
    // Before it happens: the new level may be one at which this line is not written.
    tracing::warn!(from = telemetry::current(), to = log, "the log level is changed");
    match telemetry::set(log) {
        Ok(()) => show(local).await,
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}

fn nothing_here() -> Response {
    Problem::not_found("Nothing is served at /log-level.").into_response()
}
