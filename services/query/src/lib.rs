//! HTTP reads: wallets, their histories, holds, transactions, the ledger; and how far the projections are. Everything comes from the schemas that the
//! projectors write, strong reads and the audit trail from the journal's; nothing here writes.
//!
//! The invariant: an answer is one snapshot (an export: one per chunk), and when the caller names a position that
//! it must contain (`Wallex-Min-Position`), the snapshot that is answered from contains it.

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

use std::sync::LazyLock;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wallex_runtime::http::{Code, Problems, with_problems};

use crate::routes::{currencies, history, holds, period, projections, transactions, wallets};

pub use state::QueryState;

/// The read routes, without fallbacks: whoever mounts them answers unknown paths and methods.
pub fn router(state: QueryState) -> Router {
    show_metrics();
    routes().with_state(state).into()
}

/// The OpenAPI description of the read routes alone, to be merged with the others.
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

/// The one list: of each read what it may be answered with beyond what every one may.
fn routes() -> OpenApiRouter<QueryState> {
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
    // Of a parameter, whose type is not found by itself.
    let components = routes.get_openapi_mut().components.get_or_insert_default();
    let consistency = (
        wallets::Consistency::name().into(),
        wallets::Consistency::schema(),
    );
    components.schemas.extend([consistency]);
    routes
}

/// Of one operation alone, which gives its name where it is needed.
const fn own(codes: &'static [Code]) -> Problems {
    Problems { name: "", codes }
}

/// A figure that is shown only once something has happened looks like one that is missing.
fn show_metrics() {
    LazyLock::force(&position::WAITED);
    LazyLock::force(&position::NOT_REACHED);
    LazyLock::force(&export::BROKEN);
    LazyLock::force(&stream::live::OPEN);
}
