//! HTTP reads: wallets, their histories, holds, transactions, the ledger, and the projections' lag. Everything comes
//! from the schemas that the projectors write; strong reads and the audit trail come from the journal's. Nothing here
//! writes.
//!
//! The invariant: an answer is one snapshot (an export: one per chunk), and if the caller names a position that
//! it must contain (`Wallex-Min-Position`), that snapshot contains it.

mod absent;
mod answer;
mod cache;
mod cursor;
mod export;
mod extract;
mod lag;
mod ledger;
mod parameters;
mod position;
mod problem;
mod routes;
mod source;
mod state;
mod stream;
mod strong;
mod trail;
mod vitals;

use std::sync::{Arc, LazyLock};

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wallex_runtime::http::{Code, Problems, with_problems};

use crate::routes::{currencies, history, holds, period, projections, transactions, wallets};

pub use state::QueryState;

/// The read routes, without fallbacks: whoever mounts them handles unknown paths and methods.
pub fn router(state: QueryState) -> Router {
    show_metrics();
    routes().with_state(Arc::new(state)).into()
}

/// The OpenAPI description of the read routes alone, to be merged with the others.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

/// The only list of reads, each with the problems it may be answered with beyond the common ones.
fn routes() -> OpenApiRouter<Arc<QueryState>> {
    let read = |route, codes| with_problems(route, &[problem::READ, own(codes)]);
    let mut routes = OpenApiRouter::default()
        .routes(with_problems(
            routes!(currencies::currencies),
            &[own(&[Code::ValidationFailed, Code::Internal, Code::Unavailable])],
        ))
        .routes(read(routes!(wallets::wallets), &[Code::InvalidCursor]))
        .routes(read(routes!(wallets::wallet), &[Code::WalletNotFound]))
        .routes(read(
            routes!(history::history),
            &[Code::InvalidCursor, Code::WalletNotFound],
        ))
        .routes(read(routes!(period::statement), &[Code::WalletNotFound]))
        .routes(read(
            routes!(holds::holds),
            &[Code::InvalidCursor, Code::WalletNotFound],
        ))
        .routes(read(routes!(holds::hold), &[Code::HoldNotFound]))
        .routes(read(routes!(transactions::transactions), &[]))
        .routes(read(
            routes!(transactions::transaction),
            &[Code::TransactionNotFound],
        ))
        .routes(read(routes!(trail::events), &[Code::WalletNotFound]))
        .routes(read(routes!(stream::stream), &[Code::WalletNotFound]))
        .routes(read(routes!(ledger::account), &[Code::AccountNotFound]))
        .routes(read(routes!(ledger::postings::postings), &[Code::InvalidCursor]))
        .routes(read(routes!(ledger::trial_balance), &[]))
        .routes(with_problems(
            routes!(projections::projections),
            &[own(&[Code::Internal, Code::Unavailable])],
        ));
    // Used only by a parameter, so it is not collected automatically.
    let components = routes.get_openapi_mut().components.get_or_insert_default();
    let consistency = (
        wallets::Consistency::name().into(),
        wallets::Consistency::schema(),
    );
    components.schemas.extend([consistency]);
    routes
}

/// For a single operation, which supplies the name where one is needed.
const fn own(codes: &'static [Code]) -> Problems {
    Problems { name: "", codes }
}

/// Shows the metrics from the start: one that appears only with its first event looks like a missing one.
fn show_metrics() {
    LazyLock::force(&position::WAITED);
    LazyLock::force(&position::NOT_REACHED);
    LazyLock::force(&export::BROKEN);
    LazyLock::force(&stream::live::OPEN);
}
