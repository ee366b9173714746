//! The projector's figures. Those of a partition exist only while this replica owns it.

use prometheus::{Histogram, IntCounter, IntGaugeVec};
use wallex_domain::Partition;
use wallex_platform::metrics;

use crate::stall::Stall;

pub(crate) struct Metrics {
    projection: &'static str,
    position: IntGaugeVec,
    lag: IntGaugeVec,
    stalled: IntGaugeVec,
    pub(crate) applied: IntCounter,
    pub(crate) filled: IntCounter,
    pub(crate) refused: IntCounter,
    pub(crate) parked: IntCounter,
    pub(crate) batch_events: Histogram,
    pub(crate) batch_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new(projection: &'static str) -> Self {
        let counter =
            |name, help| metrics::counter_vec(name, help, &["projection"]).with_label_values(&[projection]);
        Self {
            projection,
            position: metrics::gauge_vec(
                "wallex_projection_position",
                "Seq up to which the projection has applied the partition.",
                &["projection", "partition"],
            ),
            lag: metrics::gauge_vec(
                "wallex_projector_lag_events",
                "Events of the partition in the journal that its owner has not applied yet. A dead projector takes \
                 this figure with it: autoscale by wallex_projection_lag_events.",
                &["projection", "partition"],
            ),
            stalled: metrics::gauge_vec(
                "wallex_projection_stalled_partitions",
                "Partitions that stand still while the others go on. Any: readiness and the log say which and why.",
                &["projection", "reason"],
            ),
            applied: counter(
                "wallex_projection_applied_events_total",
                "Events applied, each exactly once.",
            ),
            filled: counter(
                "wallex_projection_filled_events_total",
                "Events that Kafka did not bring and the journal gave (holes, retention, damage). Growing while \
                 the topic is whole: look at the publisher.",
            ),
            refused: counter(
                "wallex_projection_refused_messages_total",
                "Messages that are not events of this journal: damaged, or from another one. Something else \
                 writes to the topic, or it is left over.",
            ),
            parked: counter(
                "wallex_projection_parked_events_total",
                "Events that the journal itself has unusably, with the later ones of their wallets. Any: run \
                 `wallex verify`.",
            ),
            batch_events: metrics::histogram_vec(
                "wallex_projection_batch_events",
                "Events per transaction.",
                &["projection"],
                metrics::SIZES,
            )
            .with_label_values(&[projection]),
            batch_seconds: metrics::histogram_vec(
                "wallex_projection_batch_seconds",
                "Time of one transaction, commit included.",
                &["projection"],
                metrics::SECONDS,
            )
            .with_label_values(&[projection]),
        }
    }

    pub(crate) fn position(&self, partition: Partition, seq: i64) {
        self.position
            .with_label_values(&[self.projection, &partition.to_string()])
            .set(seq);
    }

    pub(crate) fn lag(&self, partition: Partition, events: i64) {
        self.lag
            .with_label_values(&[self.projection, &partition.to_string()])
            .set(events.max(0));
    }

    /// Another replica has the partition now.
    pub(crate) fn forget(&self, partition: Partition) {
        for gauge in [&self.position, &self.lag] {
            // Fails when there is none, which is what is wanted.
            let _ = gauge.remove_label_values(&[self.projection, &partition.to_string()]);
        }
    }

    pub(crate) fn stalled(&self, stalls: &[&Stall]) {
        for reason in Stall::REASONS {
            let count = stalls.iter().filter(|stall| stall.reason() == reason).count();
            self.stalled
                .with_label_values(&[self.projection, reason])
                .set(count as i64);
        }
    }
}
