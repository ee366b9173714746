//! The projector's metrics. A partition's series exist only while this replica owns it. The projection's lag is not
//! among them: it would vanish with a dead projector, so the roles that serve reads measure it.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use wallex_domain::Partition;
use wallex_projections::cursor::{Parked, Why};
use wallex_runtime::metrics;

use crate::stall::Stall;

/// The copies of parked events.
#[derive(Clone)]
pub(crate) struct Letters {
    pub(crate) delivered: IntCounter,
    pub(crate) failed: IntCounter,
}

impl Letters {
    pub(crate) fn of(projection: &'static str) -> Self {
        let copies = metrics::counter_vec(
            "wallex_projection_dead_letters_total",
            "Copies of parked events on the dead-letters topic, by whether Kafka took them. failed: only the copy is \
             missing, the rows in `parked` are there; the log says why.",
            &["projection", "outcome"],
        );
        Self {
            delivered: copies.with_label_values(&[projection, "delivered"]),
            failed: copies.with_label_values(&[projection, "failed"]),
        }
    }
}

pub(crate) struct Metrics {
    projection: &'static str,
    position: IntGaugeVec,
    stalled: IntGaugeVec,
    refilling: IntGauge,
    pub(crate) applied: IntCounter,
    pub(crate) filled: IntCounter,
    pub(crate) refused: IntCounter,
    parked: IntCounterVec,
    pub(crate) batch_events: Histogram,
    pub(crate) batch_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new(projection: &'static str) -> Self {
        let counter =
            |name, help| metrics::counter_vec(name, help, &["projection"]).with_label_values(&[projection]);
        let parked = metrics::counter_vec(
            "wallex_projection_parked_events_total",
            "Events that are unusable in the journal itself, and the later ones of their wallets, by reason. \
             HashChainBroken: the journal was damaged or changed by hand. Any: run `wallex verify`.",
            &["projection", "reason"],
        );
        // Created up front, so that the first one shows as an increase.
        for why in Why::ALL {
            parked.with_label_values(&[projection, why.as_str()]);
        }
        Self {
            projection,
            position: metrics::gauge_vec(
                "wallex_projection_position",
                "Seq up to which the projection has applied the partition.",
                &["projection", "partition"],
            ),
            stalled: metrics::gauge_vec(
                "wallex_projection_stalled_partitions",
                "Partitions that are stalled while the others continue. Any: readiness and the log say which and why.",
                &["projection", "reason"],
            ),
            refilling: metrics::gauge_vec(
                "wallex_projection_refilling_partitions",
                "Partitions that are being filled again from the journal, because their rows or their cursor were \
                 removed: by a reset, a restored backup, or by hand. Until it is 0, reads lack rows that were there; the \
                 log says which.",
                &["projection"],
            )
            .with_label_values(&[projection]),
            applied: counter(
                "wallex_projection_applied_events_total",
                "Events applied, each exactly once.",
            ),
            filled: counter(
                "wallex_projection_filled_events_total",
                "Events that Kafka did not bring and that were read from the journal (holes, retention, damage). Growing \
                 while the topic is whole: check the publisher.",
            ),
            refused: counter(
                "wallex_projection_refused_messages_total",
                "Messages that are not events of this journal: damaged, or from another one. Something else \
                 writes to the topic, or they are left from before.",
            ),
            parked,
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

    pub(crate) fn parked(&self, parked: &[Parked]) {
        for Parked { why, .. } in parked {
            self.parked
                .with_label_values(&[self.projection, why.as_str()])
                .inc();
        }
    }

    /// Another replica owns the partition now.
    pub(crate) fn forget(&self, partition: Partition) {
        // Fails when there is no such series, which is what we want.
        let _ = self
            .position
            .remove_label_values(&[self.projection, &partition.to_string()]);
    }

    pub(crate) fn refilling(&self, partitions: usize) {
        self.refilling.set(i64::try_from(partitions).unwrap_or(i64::MAX));
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
