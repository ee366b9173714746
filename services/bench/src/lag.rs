//! How far the projections are behind the journal, read from their cursors in the database. The invariant: the cursors
//! are read before the journal, so the lag is never understated.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use wallex_journal::read;
use wallex_projections::{Name, cursor};

use crate::progress::Progress;

/// How often the lag is sampled during the run.
const SAMPLE: Duration = Duration::from_millis(100);
/// How often the lag is checked after the run.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Samples kept to express the lag as a time: ten minutes.
const MAX_SAMPLES: usize = 6_000;

/// How PostgreSQL shows the sessions of this program.
pub(crate) const NAME: &str = "wallex-bench";

/// Seq (inclusive) by partition.
type Levels = HashMap<i32, i64>;

/// The platform's databases; both may be the same.
#[derive(Clone)]
pub(crate) struct Databases {
    pub(crate) journal: PgPool,
    /// The projections.
    pub(crate) read: PgPool,
}

impl Databases {
    /// Connects, or says which setting is wrong.
    pub(crate) async fn open(database_url: &str, read_database_url: Option<&str>) -> anyhow::Result<Self> {
        let journal = connect("--database-url", database_url).await?;
        let read = match read_database_url {
            Some(url) => connect("--read-database-url", url).await?,
            None => journal.clone(),
        };
        let databases = Self { journal, read };
        databases
            .lags()
            .await
            .context("--database-url: the schemas of Wallex cannot be read there")?;
        Ok(databases)
    }

    async fn lags(&self) -> Result<Lags, sqlx::Error> {
        let projected = self.projected().await?;
        let journal = recorded(&self.journal).await?;
        Ok(Lags::of(&projected, &journal))
    }

    /// The cursors of each projection.
    async fn projected(&self) -> Result<Vec<(Name, Levels)>, sqlx::Error> {
        let mut projected = Vec::new();
        for name in Name::ALL {
            let levels = cursor::levels(&self.read, name).await?;
            projected.push((name, levels.into_iter().collect()));
        }
        Ok(projected)
    }

    /// Waits until the projections have everything that the journal holds now. Returns the time it took, or the
    /// remaining lag at the deadline. Does not wait for events written meanwhile.
    pub(crate) async fn drain(
        &self,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Result<Result<Duration, Lags>, sqlx::Error> {
        let begin = Instant::now();
        let target = recorded(&self.journal).await?;
        loop {
            let lags = Lags::of(&self.projected().await?, &target);
            if lags.largest() == 0 {
                return Ok(Ok(begin.elapsed()));
            }
            if begin.elapsed() >= limit || stop.is_cancelled() {
                return Ok(Err(lags));
            }
            sleep(DRAIN_POLL).await;
        }
    }

    /// Samples until `done`, reporting to `progress`.
    pub(crate) async fn watch(self, progress: Arc<Progress>, done: CancellationToken) -> MaxLag {
        let mut ticks = interval(SAMPLE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut max = MaxLag::default();
        let mut history = History::default();
        loop {
            tokio::select! {
                () = done.cancelled() => return max,
                _ = ticks.tick() => {}
            }
            match self.lags().await {
                Ok(lags) => {
                    let age = history.age(Instant::now(), &lags);
                    max.events = max.events.max(lags.largest());
                    max.time = max.time.max(age);
                    progress.set_lag(lags.largest());
                }
                Err(_) => max.missed_samples += 1,
            }
        }
    }
}

/// A small pool for figures and checks, connected; otherwise the error names the flag.
pub(crate) async fn connect(flag: &str, url: &str) -> anyhow::Result<PgPool> {
    let options =
        PgConnectOptions::from_str(url).with_context(|| format!("{flag} is not a postgres:// URL"))?;
    pool_options()
        .connect_with(options.application_name(NAME))
        .await
        .with_context(|| format!("{flag}: the database cannot be reached"))
}

pub(crate) fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(10))
}

async fn recorded(journal: &PgPool) -> Result<Levels, sqlx::Error> {
    let partitions = read::partitions(journal).await?.into_iter();
    Ok(partitions.map(|head| (head.id.0, head.mark.seq)).collect())
}

/// Events in `journal` beyond `cursors`.
fn behind(cursors: &Levels, journal: &Levels) -> i64 {
    journal
        .iter()
        .map(|(partition, seq)| (seq - cursors.get(partition).copied().unwrap_or(0)).max(0))
        .sum()
}

/// Each projection's lag in events, and the number of events in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lags {
    projections: Vec<(Name, i64)>,
    journal: i64,
}

impl Lags {
    fn of(projected: &[(Name, Levels)], journal: &Levels) -> Self {
        let projections = projected.iter();
        Self {
            projections: projections
                .map(|(name, cursors)| (*name, behind(cursors, journal)))
                .collect(),
            journal: journal.values().sum(),
        }
    }

    fn largest(&self) -> i64 {
        self.projections
            .iter()
            .map(|(_, events)| *events)
            .max()
            .unwrap_or(0)
    }
}

impl fmt::Display for Lags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let projections = self.projections.iter();
        let each: Vec<String> = projections
            .map(|(name, events)| format!("the {} by {events} events", name.noun()))
            .collect();
        f.write_str(&each.join(", "))
    }
}

/// The worst lag of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MaxLag {
    pub(crate) events: i64,
    /// Age of the oldest unprojected event, with the precision of the sampling interval.
    pub(crate) time: Duration,
    /// Samples without an answer from the database.
    pub(crate) missed_samples: u64,
}

/// How many events the journal held, and when.
#[derive(Default)]
struct History(VecDeque<(Instant, i64)>);

impl History {
    /// How long ago the oldest unprojected event was first seen.
    fn age(&mut self, now: Instant, lags: &Lags) -> Duration {
        self.0.push_back((now, lags.journal));
        let projected = lags.journal - lags.largest();
        // Never the newest, even if everything is projected: the deque keeps one.
        while self.0.len() > 1 && self.0.front().is_some_and(|(_, journal)| *journal <= projected) {
            self.0.pop_front();
        }
        if self.0.len() > MAX_SAMPLES {
            self.0.pop_front();
        }
        match self.0.front() {
            Some((seen, journal)) if *journal > projected => now - *seen,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_without_a_cursor_is_behind_by_all_it_has() {
        let journal = Levels::from([(0, 10), (1, 5), (2, 0)]);
        assert_eq!(behind(&Levels::from([(0, 7)]), &journal), 8);
        assert_eq!(behind(&Levels::from([(0, 10), (1, 6)]), &journal), 0);
    }

    #[test]
    fn the_age_is_that_of_the_oldest_event_not_projected() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let lags = |journal, read_model| Lags {
            projections: vec![(Name::Ledger, 0), (Name::ReadModel, read_model)],
            journal,
        };
        let mut history = History::default();
        assert_eq!(history.age(begin, &lags(100, 0)), Duration::ZERO);
        assert_eq!(history.age(begin + second, &lags(200, 100)), Duration::ZERO);
        assert_eq!(history.age(begin + 2 * second, &lags(300, 200)), second);
        assert_eq!(history.age(begin + 3 * second, &lags(300, 50)), second);
        assert_eq!(history.age(begin + 4 * second, &lags(300, 0)), Duration::ZERO);
    }
}
