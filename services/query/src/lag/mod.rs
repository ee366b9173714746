//! How far the projections are behind the journal. Measured by roles that own no partition of a projection, so that the
//! metric survives a dead projector. Depends on both databases, on no projector and no publisher.
//!
//! The invariant: a figure covers all partitions and is recent, or there is none. An autoscaler acting on an old one
//! removes what is needed, or adds what is not.

mod measurement;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use wallex_runtime::CancellationToken;
use wallex_runtime::backoff::Backoff;
use wallex_runtime::metrics;

use crate::position::Snapshots;
pub(crate) use measurement::Measurement;
use measurement::{LagError, PartitionLag, Published, Sources};

/// The longest pause between two measurements, and the maximum age of a measurement in an answer. The pause is shortened
/// by up to half at random, so that replicas don't measure in step.
const PAUSE: Duration = Duration::from_secs(5);
/// A measurement that takes longer has failed. It needs a few rows from each database, with at most two queries.
const BUDGET: Duration = Duration::from_secs(4);
/// Older figures are hidden from Prometheus: measuring has stalled.
const STALE: Duration = Duration::from_secs(30);
/// After a failure, everyone is told for this long that the lag is unknown, without asking the databases again.
const FAILED: Duration = Duration::from_secs(1);

const LABELS: &[&str] = &["projection", "partition"];

/// The last measurement, and how to make the next one. Clones share it.
#[derive(Clone)]
pub(crate) struct Lag(Arc<Inner>);

struct Inner {
    sources: Sources,
    last: Mutex<Last>,
    measuring: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
enum Last {
    Never,
    Known {
        /// When it began.
        at: Instant,
        measured: Arc<Measurement>,
    },
    Failed {
        /// When it ended.
        at: Instant,
    },
}

impl Last {
    /// The answer for a caller who asks `now`; `None`: a new measurement is needed.
    fn answer(&self, now: Instant) -> Option<Option<Arc<Measurement>>> {
        match self {
            Self::Known { at, measured } if now.duration_since(*at) <= PAUSE => {
                Some(Some(Arc::clone(measured)))
            }
            Self::Failed { at } if now.duration_since(*at) <= FAILED => Some(None),
            Self::Never | Self::Known { .. } | Self::Failed { .. } => None,
        }
    }

    /// The series that Prometheus sees `now`.
    fn series(
        &self,
        now: Instant,
        series: impl Fn(&Measurement) -> Vec<(Vec<String>, f64)>,
    ) -> Vec<(Vec<String>, f64)> {
        match self {
            Self::Known { at, measured } if now.duration_since(*at) < STALE => series(measured),
            Self::Never | Self::Known { .. } | Self::Failed { .. } => Vec::new(),
        }
    }
}

impl Lag {
    /// For projections that tail the journal: whatever is in it is published, so nothing waits for a publisher.
    pub(crate) fn new(journal: Snapshots, read: Snapshots) -> Self {
        Self::of(Sources {
            journal,
            read,
            published: Published::Journal,
        })
    }

    /// For projections that read what a publisher copies to Kafka: the publisher's lag is shown as well.
    pub(crate) fn with_publisher(&self) -> Self {
        Self::of(Sources {
            published: Published::Publisher,
            ..self.0.sources.clone()
        })
    }

    fn of(sources: Sources) -> Self {
        Self(Arc::new(Inner {
            sources,
            last: Mutex::new(Last::Never),
            measuring: tokio::sync::Mutex::default(),
        }))
    }

    /// Exposes the lag in `/metrics` and keeps measuring until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        self.show();
        let mut pause = Backoff::new(PAUSE, PAUSE);
        loop {
            {
                let _alone = self.0.measuring.lock().await;
                self.measure().await;
            }
            if !pause.wait(&shutdown).await {
                return;
            }
        }
    }

    fn show(&self) {
        let series = |figure: fn(&PartitionLag) -> f64| {
            let lag = self.clone();
            move || {
                lag.last()
                    .series(Instant::now(), |measured| measured.series(figure))
            }
        };
        let lag = self.clone();
        metrics::gauges_when_asked(
            "wallex_projection_lag_events",
            "Events of the partition in the journal that the projection has not applied, in Kafka or not. Every replica of \
             command and query reports the same: take the max. Absent: not known, see /health/projections. Growing: the \
             projection needs replicas or is stalled, or nothing reaches Kafka: see wallex_publisher_lag_seconds.",
            LABELS,
            series(|partition| partition.lag_events as f64),
        );
        metrics::gauges_when_asked(
            "wallex_projection_lag_seconds",
            "Age of the oldest event of the partition in the journal that the projection has not applied, 0 when there is \
             none. Growing as fast as time passes: the partition is stalled, or nobody publishes it.",
            LABELS,
            series(|partition| partition.lag_seconds),
        );
        metrics::gauges_when_asked(
            "wallex_publisher_lag_seconds",
            "Age of the oldest event of the partition that is not in Kafka by the publisher's checkpoint, 0 when there is \
             none; whether a publisher runs or not. Every replica of command and query reports the same: take the max. \
             Growing as fast as time passes: nobody publishes the partition, see the publisher's log.",
            &["partition"],
            move || lag.last().series(Instant::now(), Measurement::unpublished),
        );
    }

    /// The lag as of a few seconds ago, unless it is unknown.
    pub(crate) async fn current(&self) -> Option<Arc<Measurement>> {
        // Callers that arrive during a measurement get its result.
        let _alone = self.0.measuring.lock().await;
        match self.last().answer(Instant::now()) {
            Some(answer) => answer,
            None => self.measure().await,
        }
    }

    async fn measure(&self) -> Option<Arc<Measurement>> {
        let at = Instant::now();
        let measured = timeout(BUDGET, self.0.sources.measure()).await;
        let measured = measured.unwrap_or(Err(LagError::Slow)).map(Arc::new);
        let last = match &measured {
            Ok(measured) => Last::Known {
                at,
                measured: Arc::clone(measured),
            },
            Err(_) => Last::Failed { at: Instant::now() },
        };
        let before = std::mem::replace(&mut *self.lock(), last);
        match measured {
            Ok(measured) => {
                if matches!(before, Last::Failed { .. }) {
                    tracing::info!("the lag of the projections is known again");
                }
                Some(measured)
            }
            Err(error) => {
                let error = error.cause();
                if matches!(before, Last::Failed { .. }) {
                    tracing::debug!(error, "the lag of the projections is still not known");
                } else {
                    tracing::warn!(error, "the projection lag is not known");
                }
                None
            }
        }
    }

    fn last(&self) -> Last {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(at: Instant) -> Last {
        Last::Known {
            at,
            measured: Arc::new(Measurement::of_one_partition()),
        }
    }

    fn shown(last: &Last, now: Instant) -> usize {
        last.series(now, |measured| measured.series(|partition| partition.lag_seconds))
            .len()
    }

    #[test]
    fn an_old_figure_is_no_figure() {
        let at = Instant::now();
        assert_eq!(shown(&known(at), at + Duration::from_secs(29)), 2);
        assert_eq!(shown(&known(at), at + Duration::from_secs(30)), 0);
        assert_eq!(shown(&Last::Never, at), 0);
        assert_eq!(shown(&Last::Failed { at }, at), 0);
    }

    #[test]
    fn whoever_asks_is_answered_from_a_measurement_of_five_seconds_or_a_failure_of_one() {
        let at = Instant::now();
        let answered = |last: &Last, later: u64| {
            let answer = last.answer(at + Duration::from_secs(later));
            answer.map(|known| known.is_some())
        };
        assert_eq!(
            [answered(&known(at), 5), answered(&known(at), 6)],
            [Some(true), None]
        );
        let failed = Last::Failed { at };
        assert_eq!([answered(&failed, 1), answered(&failed, 2)], [Some(false), None]);
        assert_eq!(answered(&Last::Never, 0), None);
    }
}
