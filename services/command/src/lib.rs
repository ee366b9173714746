//! HTTP writes: wallets, movements, transfers, holds, reversals, batches. A request is parsed and typed here, waits in a bounded
//! queue, and is answered with what the journal committed.
//!
//! The invariant: a 2xx leaves this crate only after the transaction that holds its events and its answer
//! was committed.

mod answer;
mod batch;
mod batcher;
mod body;
mod describe;
mod fields;
mod headers;
mod item;
mod json;
mod metrics;
mod problem;
mod routes;
#[cfg(test)]
mod tests;
pub mod upkeep;
mod value;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::post;
use sqlx::PgPool;
use utoipa::OpenApi;
use utoipa::openapi::{Ref, RefOr};
use wallex_domain::Currencies;
use wallex_runtime::http::{capitalised, describe_problems};

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
    let routes = Router::new()
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
        .route("/v1/transactions/{id}/reversals", post(routes::reverse));
    let batches = Router::new().route("/v1/batches", post(routes::batch));
    limited(routes, MAX_BODY)
        .merge(limited(batches, MAX_BATCH_BODY))
        .with_state(state)
}

/// Routes whose bodies have `limit` bytes at most. Who announces more is answered at once, not when it has come.
fn limited(routes: Router<CommandState>, limit: usize) -> Router<CommandState> {
    let announced = move |request: Request, next: Next| async move {
        if request.body().size_hint().lower() > limit as u64 {
            return problem::body_too_large(limit).into_response();
        }
        next.run(request).await
    };
    routes
        .layer(DefaultBodyLimit::max(limit))
        .route_layer(middleware::from_fn(announced))
}

#[derive(OpenApi)]
#[openapi(paths(
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
))]
struct Documentation;

/// The OpenAPI description of the write routes alone, to be merged with the others.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = Documentation::openapi();
    for path in headers::BODY_MAY_BE_ABSENT {
        let operation = description
            .paths
            .paths
            .get_mut(path)
            .and_then(|path| path.post.as_mut());
        let body = operation.and_then(|operation| operation.request_body.as_mut());
        if let Some(RefOr::T(body)) = body {
            body.required = Some(utoipa::openapi::Required::False);
            body.description = Some("No body is the same as {}".to_owned());
        }
    }
    name_requests(&mut description);
    for rejections in routes::rejections() {
        describe_problems(&mut description, rejections.name, &[problem::WRITE, rejections]);
    }
    description
}

/// Every operation has a body of its own name, also where several are read alike: `creditWallet` takes a
/// `CreditWalletRequest`.
fn name_requests(description: &mut utoipa::openapi::OpenApi) {
    let schemas = &mut description.components.get_or_insert_default().schemas;
    let mut unnamed = Vec::new();
    for operation in description
        .paths
        .paths
        .values_mut()
        .filter_map(|path| path.post.as_mut())
    {
        let name = operation.operation_id.as_deref().unwrap_or_default();
        let name = format!("{}Request", capitalised(name));
        let Some(RefOr::T(body)) = &mut operation.request_body else {
            continue;
        };
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content
                && let Some(RefOr::Ref(schema)) = &mut content.schema
                && let Some(old) = schema.ref_location.rsplit('/').next().map(str::to_owned)
                && let Some(shape) = schemas.get(&old).cloned()
            {
                schemas.insert(name.clone(), shape);
                *schema = Ref::from_schema_name(&name);
                unnamed.push(old);
            }
        }
    }
    for old in unnamed {
        schemas.remove(&old);
    }
}
