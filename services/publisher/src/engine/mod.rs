//! The publisher's only task. It owns all state and does one thing at a time between waits.
//!
//! A partition goes through [`Stage`]s. The invariant: nothing here blocks for long. The end of the topic is read
//! on a separate thread, so that leases are renewed meanwhile.

mod handover;
mod pages;
mod publish;
mod start;

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wallex_domain::{Ailment, Partition};
use wallex_runtime::backoff::{Backoff, Outage};
use wallex_runtime::health::{Check, Health};
use wallex_runtime::redis::Accelerator;
use wallex_runtime::trace;

use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::producer::{Delivery, Producer};
use crate::progress::Progress;
use crate::topic::{Tail, Topic, TopicError};
use crate::{Config, TOPIC_CHECK};
use wallex_journal::publication::Leases;

/// Events read from one partition at a time, and by one statement.
const PAGE: usize = 500;
/// Unacknowledged events that one partition may have. Ten pages keep the connection busy; more would only be
/// sent again after a failure.
const MAX_IN_FLIGHT: usize = 5_000;
/// The checkpoint is saved when either limit is reached.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);
const SAVE_EVENTS: i64 = 1_000;
/// Pause between two checks of the leases; a third of the lease if that is shorter.
const TICK: Duration = Duration::from_secs(1);
/// Without an acknowledgement for this long, the publisher is no longer ready.
const SLOW: Duration = Duration::from_secs(5);
/// Without an acknowledgement for this long, the producer is given up.
const STUCK: Duration = Duration::from_secs(30);
/// How long a partition that is being handed over may wait for what is in flight.
const LEAVE: Duration = Duration::from_secs(5);
/// Pause before a rewound partition is checked again: the journal may have been restored meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const TOPIC_PATIENCE: Duration = Duration::from_secs(10);

/// The state of a partition of this replica.
enum Stage {
    /// Taken, but the topic's last event is not known yet.
    Looking,
    Publishing,
    /// The journal lacks events that were published: stopped.
    Rewound {
        reason: String,
        again: Instant,
    },
    /// Being handed over: nothing more is sent.
    Leaving {
        until: Instant,
    },
}

struct Track {
    epoch: i64,
    stage: Stage,
    progress: Progress,
    /// When something was last acknowledged, or nothing was in flight.
    moved: Instant,
}

type Looked = Result<BTreeMap<Partition, Tail>, TopicError>;

pub(crate) struct Engine {
    config: Config,
    journal: PgPool,
    leases: Leases,
    presence: Presence,
    topic: Topic,
    tracks: BTreeMap<Partition, Track>,
    producer: Option<Producer>,
    /// Spans of sampled events on their way to Kafka.
    traced: BTreeMap<(Partition, i64), trace::Span>,
    lives: u64,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    deliver: mpsc::UnboundedSender<Delivery>,
    looked: mpsc::UnboundedReceiver<Looked>,
    look: mpsc::UnboundedSender<Looked>,
    looking: bool,
    look_backoff: Backoff,
    /// The topic was usable at the last check. A replica without a topic takes no partitions.
    usable: bool,
    unusable_since: Instant,
    next_tick: Instant,
    next_look: Instant,
    next_poll: Instant,
    last_save: Instant,
    topic_check: Check,
    journal_check: Check,
    topic_outage: Outage,
    journal_outage: Outage,
    metrics: Metrics,
}

impl Engine {
    pub(crate) fn new(config: Config, journal: PgPool, redis: Accelerator, health: &Health) -> Self {
        let (deliver, deliveries) = mpsc::unbounded_channel();
        let (look, looked) = mpsc::unbounded_channel();
        let source = wallex_journal::cloud_event::source(&config.platform);
        let topic_check = health.check(TOPIC_CHECK);
        let now = Instant::now();
        Self {
            leases: Leases::new(journal.clone(), config.instance.clone(), config.lease),
            presence: Presence::announce(redis, &config.platform, &config.instance),
            topic: Topic {
                consumer: config.consumer.clone(),
                name: config.topic.clone(),
                source,
                patience: TOPIC_PATIENCE,
            },
            tracks: BTreeMap::new(),
            producer: None,
            traced: BTreeMap::new(),
            lives: 0,
            deliveries,
            deliver,
            looked,
            look,
            looking: false,
            look_backoff: Backoff::for_server(),
            usable: false,
            unusable_since: now,
            next_tick: now,
            next_look: now,
            next_poll: now,
            last_save: now,
            journal_check: health.check("publication"),
            topic_outage: Outage::of("The events topic", config.topic.clone(), "kafka_events_topic")
                .shown_by(&topic_check, Ailment::KafkaUnreachable),
            topic_check,
            journal_outage: Outage::of("The journal", "PostgreSQL", "database_url"),
            metrics: Metrics::new(),
            config,
            journal,
        }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = sleep_until(self.next_tick) => self.tick().await,
                Some(delivery) = self.deliveries.recv() => self.record_deliveries(delivery),
                Some(looked) = self.looked.recv() => self.resume(looked).await,
                () = sleep_until(self.next_poll) => self.poll().await,
            }
            if self.save_is_due() {
                self.save().await;
            }
            self.release_finished(Instant::now()).await;
        }
        self.stop().await;
    }
}
