//! `/log-level`: shows and changes what the process logs, while it runs. Only for callers on the same machine or in
//! the same pod; for all others the path does not exist. Not part of the described API.

use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::request::Parts;

use super::Problem;
use crate::telemetry;

/// Marks requests over the loopback interface. As a handler's argument: one that no proxy forwarded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl<S: Sync> FromRequestParts<S> for Local {
    type Rejection = Problem;

    /// A proxy beside this process forwards everybody's requests over loopback, and says so in a header.
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
    // Log this first: the new level may suppress the line.
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
