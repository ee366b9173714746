//! The publisher's metrics. A partition's series exist only while this replica publishes it.

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};
use wallex_domain::Partition;
use wallex_runtime::metrics;

pub(crate) struct Metrics {
    position: IntGaugeVec,
    lag: IntGaugeVec,
    rewound: IntGaugeVec,
    pub(crate) batch_events: Histogram,
    pub(crate) published: IntCounter,
    pub(crate) restarts: IntCounter,
    pub(crate) owned: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            position: metrics::gauge_vec(
                "wallex_publisher_position",
                "Seq up to which the partition is in Kafka. Not moving while lag grows: see the log.",
                &["partition"],
            ),
            lag: metrics::gauge_vec(
                "wallex_publisher_lag_events",
                "Events of the partition that are in the journal but not yet in Kafka.",
                &["partition"],
            ),
            rewound: metrics::gauge_vec(
                "wallex_publisher_rewound",
                "1 while the partition is stopped because the journal lacks what was published (JournalRewound). \
                 The log line says what to do.",
                &["partition"],
            ),
            batch_events: metrics::histogram(
                "wallex_publisher_batch_events",
                "Events that one statement read from the journal, of all partitions in which there were any. 500 is the \
                 most: near it for long, the publisher is behind.",
                metrics::SIZES,
            ),
            published: metrics::counter(
                "wallex_publisher_published_events_total",
                "Events that Kafka acknowledged, repetitions included.",
            ),
            restarts: metrics::counter(
                "wallex_publisher_restarts_total",
                "Times that publishing restarted from the checkpoint after a failed delivery. Growing: Kafka \
                 refuses messages, the log says why.",
            ),
            owned: metrics::gauge(
                "wallex_publisher_owned_partitions",
                "Partitions that this replica publishes. Their sum over replicas is the journal's number of \
                 partitions, except for seconds during a handover.",
            ),
        }
    }

    /// `head` is the journal's last seq, `acked` what Kafka has.
    pub(crate) fn progress(&self, partition: Partition, head: i64, acked: i64) {
        let label = partition.to_string();
        self.position.with_label_values(&[&label]).set(acked);
        self.lag.with_label_values(&[&label]).set((head - acked).max(0));
    }

    pub(crate) fn rewound(&self, partition: Partition, rewound: bool) {
        self.rewound
            .with_label_values(&[&partition.to_string()])
            .set(rewound.into());
    }

    /// Another replica publishes the partition now and reports its metrics.
    pub(crate) fn forget(&self, partition: Partition) {
        let label = partition.to_string();
        for gauge in [&self.position, &self.lag, &self.rewound] {
            // Fails when there is no such series, which is what we want.
            let _ = gauge.remove_label_values(&[&label]);
        }
    }
}
