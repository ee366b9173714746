//! `/log-level`: what the process logs, shown and changed while it runs. Only for whoever is on the same machine or in
//! the same pod; there is nothing here for everybody else. No part of the described interface.

use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::request::Parts;

use super::Problem;
use crate::telemetry;

/// Marks requests that came over the loopback interface. As an argument of a handler: one that nobody handed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl<S: Sync> FromRequestParts<S> for Local {
    type Rejection = Problem;

    /// A proxy beside this process comes over the loopback interface with everybody's requests, and says so.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let is_handed_on = parts.headers.keys().any(|name| {
            let name = name.as_str();
            name.starts_with("x-forwarded-") || name == "forwarded" || name == "via"
        });
        let local = parts.extensions.get::<Self>().copied();
        local.filter(|_| !is_handed_on).ok_or_else(nothing_here)
    }
}

pub(super) fn routes() -> Router {
    Router::new().route("/log-level", get(show).put(change))
}

async fn show(_: Local) -> Response {
    match telemetry::current() {
        Some(current) => format!("{current}\n").into_response(),
        None => nothing_here().into_response(),
    }
}

async fn change(local: Local, log: String) -> Response {
    let log = log.trim();
    if let Err(reason) = telemetry::filter(log) {
        return wrong(&reason);
    }
    // Before it happens: the new level may be one at which this line is not written.
    tracing::warn!(from = telemetry::current(), to = log, "the log level is changed");
    match telemetry::set(log) {
        Ok(()) => show(local).await,
        Err(reason) => wrong(&reason),
    }
}

fn wrong(reason: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response()
}

fn nothing_here() -> Problem {
    Problem::not_found("Nothing is served at /log-level.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_proxy_on_this_machine_hands_on_is_not_from_this_machine() {
        let is_local = async |name: &'static str| {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            parts.extensions.insert(Local);
            parts.headers.insert(name, http::HeaderValue::from_static("http"));
            Local::from_request_parts(&mut parts, &()).await.is_ok()
        };
        assert!(is_local("accept").await);
        for name in ["x-forwarded-proto", "x-forwarded-for", "forwarded", "via"] {
            assert!(!is_local(name).await, "{name}");
        }
    }
}
