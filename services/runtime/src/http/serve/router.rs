//! What every role serves around its own routes.

use axum::Router;
use http::{Method, Uri};

use super::super::observe::Observe;
use super::super::{Code, Problem, health, log_level};
use crate::health::Health;

/// `app` with everything that all roles serve: health, `/metrics`, problems for unknown paths and methods and for
/// panics, request metrics. Tests call it directly, without a socket.
pub fn router(app: Router, health: Health) -> Router {
    let nothing_here = async |uri: Uri| Problem::not_found(format!("Nothing is served at {}.", uri.path()));
    assemble(app.fallback(nothing_here), health)
}

/// [`router`] for an app that already has its fallback.
pub(super) fn assemble(app: Router, health: Health) -> Router {
    app.merge(health::routes(health))
        .merge(log_level::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Observe)
        // Turns handlers into services now; otherwise axum does so, layers included, for every request.
        .with_state(())
}

/// axum adds the `Allow` header itself.
async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not served at {}; see the header Allow.", uri.path());
    Problem::new(Code::MethodNotAllowed, detail)
}
