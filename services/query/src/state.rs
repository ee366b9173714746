//! State that the read routes share; built once, a reference per request.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Semaphore;
use wallex_domain::Currencies;
use wallex_projections::Name;
use wallex_runtime::CancellationToken;
use wallex_runtime::redis::Accelerator;

use crate::cache::Cache;
use crate::export::Exports;
use crate::lag::Lag;
use crate::position::Snapshots;
use crate::source::Source;
use crate::stream::live::Live;
use crate::vitals::Vitals;

/// Default number of exports that a process runs at once.
const EXPORTS: usize = 32;
/// Trial balances computed at once. Each may read millions of rows, and the connections are shared by all reads.
const TRIAL_BALANCES: usize = 1;

#[derive(Clone)]
pub struct QueryState {
    pub(crate) read: Snapshots,
    pub(crate) journal: Snapshots,
    pub(crate) ledger: Snapshots,
    pub(crate) trial_balances: Arc<Semaphore>,
    pub(crate) exports: Exports,
    pub(crate) lag: Lag,
    pub(crate) vitals: Vitals,
    pub(crate) cache: Cache,
    pub(crate) live: Live,
    pub(crate) currencies: Arc<Currencies>,
}

impl QueryState {
    /// Reads come from `read`, a pool on the database with the projections' schemas, whose sessions only read
    /// ([`wallex_postgres::for_reads`]); strong reads come from `journal`, a pool on the primary of the journal's
    /// database. Both may be the same.
    pub fn new(read: PgPool, journal: PgPool) -> Self {
        let read_model = Snapshots::of(Source::Projection(Name::ReadModel), read.clone(), journal.clone());
        let ledger = Snapshots::of(Source::Projection(Name::Ledger), read, journal.clone());
        let journal = Snapshots::of(Source::Journal, journal.clone(), journal);
        Self {
            live: Live::new(read_model.clone()),
            lag: Lag::new(journal.clone(), read_model.clone()),
            vitals: Vitals {
                journal: journal.clone(),
                read: read_model.clone(),
            },
            read: read_model,
            journal,
            ledger,
            trial_balances: Arc::new(Semaphore::new(TRIAL_BALANCES)),
            exports: Exports::at_most(EXPORTS),
            cache: Cache::none(),
            currencies: Currencies::iso_4217().into(),
        }
    }

    /// Adds currencies of the platform's own.
    #[must_use]
    pub fn with_currencies(mut self, currencies: Currencies) -> Self {
        self.currencies = currencies.into();
        self
    }

    /// Adds a cache of balances and fast live updates. `platform` is the full platform id, because several platforms may
    /// share one Redis.
    #[must_use]
    pub fn with_redis(mut self, redis: Accelerator, platform: &str) -> Self {
        self.live = self.live.with_redis(redis.clone(), platform);
        self.cache = Cache::new(redis, platform);
        self
    }

    /// For a platform with a publisher, whose lag is measured as well.
    #[must_use]
    pub fn with_publisher(mut self) -> Self {
        self.lag = self.lag.with_publisher();
        self
    }

    /// Measures what only the databases know, for `/metrics`, until `shutdown`: the projections' lag every few seconds, the
    /// rest less often. Without it the lag is measured only for requests to `/health/projections`.
    pub async fn keep_measuring(self, shutdown: CancellationToken) {
        tokio::join!(self.lag.run(shutdown.clone()), self.vitals.run(shutdown));
    }

    /// Changes the life of cached answers from two seconds: the maximum age of a plain read.
    #[must_use]
    pub fn with_cache_life(mut self, life: Duration) -> Self {
        self.cache = self.cache.with_life(life);
        self
    }

    /// Changes the number of simultaneous exports.
    #[must_use]
    pub fn with_exports(mut self, count: usize) -> Self {
        self.exports = Exports::at_most(count);
        self
    }

    /// Makes streams end when `shutdown` is cancelled, so that the server's drain does not wait for them.
    #[must_use]
    pub fn with_shutdown(mut self, shutdown: CancellationToken) -> Self {
        self.live = self.live.with_shutdown(shutdown);
        self
    }
}
