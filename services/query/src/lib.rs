//! HTTP reads: wallets, their histories, holds, transactions, the ledger; and how far the projections are. Everything comes from the schemas that the
//! projectors write, strong reads and the audit trail from the journal's; nothing here writes.
//!
//! The invariant: an answer is one snapshot (an export: one per chunk), and when the caller names a position that
//! it must contain (`Wallex-Min-Position`), the snapshot that is answered from contains it.

mod answer;
mod cache;
mod cursor;
mod export;
mod extract;
mod lag;
mod ledger;
mod parameters;
#[cfg(test)]
mod plans;
mod position;
mod problem;
mod routes;
mod source;
mod statement;
mod stream;
mod strong;
mod trail;
mod vitals;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wallex_domain::Currencies;
use wallex_runtime::CancellationToken;
use wallex_runtime::http::{Code, Problems, with_problems};
use wallex_runtime::redis::Accelerator;

use crate::cache::Cache;
use crate::export::Exports;
use crate::lag::Lag;
use crate::position::Snapshots;
use crate::routes::{currencies, history, holds, period, transactions, wallets};
use crate::source::Source;
use crate::stream::live::Live;
use crate::vitals::Vitals;

/// Exports that a process runs at the same time, unless it is told another number.
const EXPORTS: usize = 32;

/// What the routes share; built once, cloned per request.
#[derive(Clone)]
pub struct QueryState {
    read: Snapshots,
    journal: Snapshots,
    ledger: Snapshots,
    trial_balances: Arc<Semaphore>,
    exports: Exports,
    lag: Lag,
    vitals: Vitals,
    cache: Cache,
    live: Live,
    currencies: Arc<Currencies>,
}

impl QueryState {
    /// Reads from `read`, a pool on the database that holds the projections' schemas; strong reads from `journal`,
    /// a pool on the journal's database, on its primary. Both may be the same.
    pub fn new(read: PgPool, journal: PgPool) -> Self {
        let read_model = Snapshots::of(Source::ReadModel, read.clone(), journal.clone());
        let ledger = Snapshots::of(Source::Ledger, read, journal.clone());
        let journal = Snapshots::of(Source::Journal, journal.clone(), journal);
        Self {
            live: Live::new(read_model.clone()),
            lag: Lag::new(journal.clone(), ledger.clone(), read_model.clone()),
            vitals: Vitals {
                journal: journal.clone(),
                read: ledger.clone(),
            },
            read: read_model,
            journal,
            ledger,
            trial_balances: Arc::new(Semaphore::new(ledger::TRIAL_BALANCES)),
            exports: Exports::at_most(EXPORTS),
            cache: Cache::none(),
            currencies: Currencies::iso_4217().into(),
        }
    }

    /// With currencies of the platform's own.
    #[must_use]
    pub fn with_currencies(self, currencies: Currencies) -> Self {
        Self {
            currencies: currencies.into(),
            ..self
        }
    }

    /// With a cache of balances and quick live updates. `platform` is the platform's whole id, because several may
    /// share one Redis.
    #[must_use]
    pub fn with_redis(self, redis: Accelerator, platform: &str) -> Self {
        Self {
            live: self.live.with_redis(redis.clone(), platform),
            cache: Cache::new(redis, platform),
            ..self
        }
    }

    /// Of a platform with a publisher, whose lag is measured as well.
    #[must_use]
    pub fn with_publisher(self) -> Self {
        Self {
            lag: self.lag.with_publisher(),
            ..self
        }
    }

    /// Measures what only the databases know, for `/metrics`, until `shutdown`: the lag of the projections every few seconds,
    /// the rest more seldom. Without it the lag is measured only for who asks at `/health/projections`.
    pub async fn keep_measuring(self, shutdown: CancellationToken) {
        tokio::join!(self.lag.run(shutdown.clone()), self.vitals.run(shutdown));
    }

    /// With another life of cached answers than two seconds: how old a plain read may be.
    #[must_use]
    pub fn with_cache_life(self, life: Duration) -> Self {
        Self {
            cache: self.cache.with_life(life),
            ..self
        }
    }

    /// With another number of exports at the same time.
    #[must_use]
    pub fn with_exports(self, count: usize) -> Self {
        Self {
            exports: Exports::at_most(count),
            ..self
        }
    }

    /// Streams end when `shutdown` is cancelled, so that the server's drain does not wait for them.
    #[must_use]
    pub fn with_shutdown(self, shutdown: CancellationToken) -> Self {
        Self {
            live: self.live.with_shutdown(shutdown),
            ..self
        }
    }
}

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
            routes!(lag::projections),
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
