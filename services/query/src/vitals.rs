//! Metrics that only the databases know, read rarely: what blocks vacuum, what is parked, whether the ledger is in
//! balance. Depends on both databases and on no projector. Nothing waits for it.
//!
//! The invariant: a figure is recent or there is none. Each look is one snapshot with a time limit, so that looking does
//! not block vacuum itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout};
use wallex_domain::Positions;
use wallex_journal::read;
use wallex_postgres::SNAPSHOT;
use wallex_postgres::horizon::{self, Holder};
use wallex_projections::ledger::read as ledger;
use wallex_projections::{Name, cursor};
use wallex_runtime::CancellationToken;
use wallex_runtime::backoff::Backoff;
use wallex_runtime::metrics;

use crate::position::Snapshots;
use crate::problem::ReadError;
use crate::routes::end;

/// Pause between two looks at sessions and parked rows, of which there are few.
const OFTEN: Duration = Duration::from_secs(15);
/// Pause between two sums over the ledger, which read every total there is.
const SELDOM: Duration = Duration::from_secs(300);
/// A look is repeated at the earliest after this many times its own duration: it may cost a hundredth of a connection.
const SHARE: u32 = 100;
/// The same after a failure, which may have been a short outage.
const SHARE_OF_FAILURES: u32 = 10;
/// A look that takes longer has failed.
const BUDGET: Duration = Duration::from_secs(35);

/// The values of the labels, and the figure.
type Series = (Vec<String>, f64);

/// The databases to look at. Clones share the pools.
#[derive(Clone)]
pub(crate) struct Vitals {
    pub(crate) journal: Snapshots,
    pub(crate) read: Snapshots,
}

/// The last result, and until when it may be shown.
struct Seen<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> Seen<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    fn set(&self, seen: Option<(Instant, T)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn get(&self) -> Option<T> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.and_then(|(until, seen)| (Instant::now() < until).then_some(seen))
    }

    fn show(
        self: &Arc<Self>,
        name: &str,
        help: &str,
        labels: &[&str],
        series: impl Fn(T) -> Vec<Series> + Send + Sync + 'static,
    ) where
        T: Send + 'static,
    {
        let seen = Arc::clone(self);
        metrics::gauges_when_asked(name, help, labels, move || {
            seen.get().map(&series).unwrap_or_default()
        });
    }
}

/// A database, and one holder of its horizon.
type Held = (&'static str, Holder);

impl Vitals {
    /// Exposes the figures in `/metrics` and keeps looking until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let (held, parked, unbalanced, lead) = (Seen::new(), Seen::new(), Seen::new(), Seen::new());
        show_held(&held);
        parked.show(
            "wallex_projection_parked_wallets",
            "Wallets whose later events the projection cannot apply, as its table `parked` has it. Any: run \
             `wallex verify`; reads of these wallets say stale. Every replica of command and query reports the same: \
             take the max.",
            &["projection"],
            |series| series,
        );
        unbalanced.show(
            "wallex_ledger_unbalanced_currencies",
            "Currencies whose debits and credits in the ledger differ, at one snapshot, checked every five minutes or \
             less often. Any: stop paying out by the ledger; GET /v1/ledger/trial-balance says which, `wallex verify` \
             whether the journal is whole. Every replica of command and query reports the same: take the max.",
            &[],
            |count: f64| vec![(Vec::new(), count)],
        );
        lead.show(
            "wallex_journal_clock_lead_seconds",
            "How far the last event's time is ahead of the database's clock, in the partition where it is furthest. Above \
             a few seconds: the clock was ahead for a while or was set back. Holds still follow the clock, but events of \
             that partition are recorded at the later time until the clock has reached it, and reads by time (at, from, \
             to) find them there. Every replica of command and query reports the same: take the max.",
            &[],
            |seconds: f64| vec![(Vec::new(), seconds)],
        );
        tokio::join!(
            keep("the lead of the journal's times", OFTEN, &lead, &shutdown, || {
                self.lead()
            }),
            keep("what holds vacuum back", OFTEN, &held, &shutdown, || self.held()),
            keep("what is parked", OFTEN, &parked, &shutdown, || self.parked()),
            keep(
                "the balance of the ledger",
                SELDOM,
                &unbalanced,
                &shutdown,
                || { self.unbalanced() }
            ),
        );
    }

    async fn held(&self) -> Result<Vec<Held>, ReadError> {
        let mut held = Vec::new();
        for (database, snapshots) in [("journal", &self.journal), ("read", &self.read)] {
            let holders = look(snapshots, SNAPSHOT, horizon::holders).await?;
            held.extend(holders.into_iter().map(|holder| (database, holder)));
        }
        Ok(held)
    }

    async fn parked(&self) -> Result<Vec<Series>, ReadError> {
        look(&self.read, SNAPSHOT, async |db| {
            let mut parked = Vec::new();
            for name in Name::ALL {
                let wallets = cursor::count_parked_wallets(&mut *db, name).await?;
                parked.push((vec![name.to_string()], wallets as f64));
            }
            Ok(parked)
        })
        .await
    }

    async fn lead(&self) -> Result<f64, ReadError> {
        let lead: Option<f64> = look(&self.journal, SNAPSHOT, async |db| {
            read::positions::clock_lead(db).await
        })
        .await?;
        // Without partitions there is no lead.
        Ok(lead.unwrap_or(0.0))
    }

    async fn unbalanced(&self) -> Result<f64, ReadError> {
        let unbalanced = look(&self.read, ledger::BEGIN_TRIAL_BALANCE, ledger::unbalanced).await?;
        Ok(unbalanced.len() as f64)
    }
}

fn show_held(held: &Arc<Seen<Vec<Held>>>) {
    let labels = &["database", "holder"];
    held.show(
        "wallex_database_oldest_snapshot_seconds",
        "Age of the oldest transaction that keeps vacuum from removing rows, by what holds it (session, prepared). \
         Growing: hot rows become slow; find it in pg_stat_activity or pg_prepared_xacts and end it. Sessions of other \
         users count when this role has pg_monitor. Take the max over replicas.",
        labels,
        |held| {
            held.into_iter()
                .filter_map(|held| Some((labels_of(&held), held.1.seconds?)))
                .collect()
        },
    );
    held.show(
        "wallex_database_oldest_xmin_transactions",
        "Transactions since the oldest one that keeps vacuum from removing rows, by what holds it (session, prepared, \
         slot). slot growing: a replication slot that nobody reads; drop it or start its reader. Take the max over \
         replicas.",
        labels,
        |held| {
            held.into_iter()
                .map(|held| (labels_of(&held), held.1.transactions))
                .collect()
        },
    );
}

fn labels_of((database, holder): &Held) -> Vec<String> {
    vec![(*database).to_owned(), holder.kind.clone()]
}

async fn look<T>(
    snapshots: &Snapshots,
    begin: &'static str,
    read: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
) -> Result<T, ReadError> {
    let mut snapshot = snapshots.snapshot_by(begin, &Positions::default()).await?;
    let seen = read(&mut snapshot).await?;
    end(snapshot).await?;
    Ok(seen)
}

/// Repeats a look until `shutdown`. What could not be read is not shown; the log says so once.
async fn keep<T: Clone, Looking: Future<Output = Result<T, ReadError>>>(
    what: &'static str,
    every: Duration,
    seen: &Arc<Seen<T>>,
    shutdown: &CancellationToken,
    look: impl Fn() -> Looking,
) {
    let mut failed = false;
    loop {
        let started = Instant::now();
        let looked = timeout(BUDGET, look()).await;
        let share = if matches!(looked, Ok(Ok(_))) {
            SHARE
        } else {
            SHARE_OF_FAILURES
        };
        let pause = every.max(started.elapsed() * share);
        match looked {
            Ok(Ok(figure)) => {
                // Until the look after the next would have ended.
                seen.set(Some((started + 2 * (pause + BUDGET), figure)));
                if failed {
                    tracing::info!("{what} is known again");
                }
                failed = false;
            }
            Ok(Err(error)) => {
                seen.set(None);
                let error = match error {
                    ReadError::Database(error) => error.to_string(),
                    other => other.to_string(),
                };
                say(failed, what, &error);
                failed = true;
            }
            Err(_) => {
                seen.set(None);
                say(failed, what, "the database took too long");
                failed = true;
            }
        }
        // Shortened by up to half at random, so that replicas don't look in step.
        if !Backoff::new(pause, pause).wait(shutdown).await {
            return;
        }
    }
}

fn say(again: bool, what: &str, error: &str) {
    if again {
        tracing::debug!(error, "{what} is still not known");
    } else {
        tracing::warn!(error, "{what} is not known");
    }
}
