//! HTTP writes: wallets, movements, transfers, holds, reversals, batches. A request is parsed and typed here, waits in
//! a bounded queue, and is answered with what the journal committed.
//!
//! The invariant: a 2xx leaves this crate only after the transaction that holds its events and its answer
//! has been committed.

mod admission;
mod answer;
mod batch;
mod batcher;
mod body;
mod commands;
mod describe;
mod fields;
mod handing;
mod headers;
mod json;
mod metrics;
mod problem;
mod queue;
mod register;
mod request;
mod state;
mod submit;
#[cfg(test)]
mod tests;
pub mod upkeep;
mod value;
mod writing;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use wallex_journal::append::Render;

pub use batcher::{Batcher, BatcherConfig};
pub use handing::member::{Member, MemberConfig};
pub use queue::Enqueue;
pub use state::CommandState;

/// How the journal's decisions are answered.
pub const RENDER: Render = Render {
    one: answer::render,
    batch: batch::render,
};

/// Maximum size in bytes of a request body, and of one command in a batch.
const MAX_BODY: usize = 256 * 1024;
/// Maximum size in bytes of a batch. 1,000 commands with the longest reference, external id and description take 6 MB
/// in four-byte characters, and 18 MB when a client escapes them (`\ud83d\ude00`); the rest is for metadata. The commands
/// are read one by one, so that at most one is expanded in memory at a time.
const MAX_BATCH_BODY: usize = 20 * 1024 * 1024;

/// The write routes, without fallbacks: whoever mounts them handles unknown paths and methods.
pub fn router(state: CommandState) -> Router {
    routes().with_state(state).into()
}

/// The OpenAPI description of the write routes alone, to be merged with the others.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

fn routes() -> OpenApiRouter<CommandState> {
    commands::routes().routes(batch::route())
}
