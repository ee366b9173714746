//! Where a projection hears about new events. A source only says where to look, possibly twice, late or out of order:
//! the cursor decides what is applied.

mod fetching;
mod journal;
mod kafka;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(crate) use journal::JournalSource;
pub(crate) use kafka::KafkaSource;
use wallex_domain::{Ailment, Mark, Partition};

use crate::inbox::Batch;

/// A source with nothing new returns after this time, so that its caller can do other work.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) enum Source {
    Journal(JournalSource),
    Kafka(Box<KafkaSource>),
}

/// What a source reports.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) batch: Batch,
    /// Messages that are not events of this platform.
    pub(crate) refused: u64,
    /// What keeps the source from receiving anything.
    pub(crate) trouble: Option<String>,
}

impl Source {
    /// What has arrived. Waits at most a second for the first event, or hardly at all in a `hurry`. Returns at most
    /// `limit` events.
    pub(crate) async fn next(
        &mut self,
        cursors: &BTreeMap<Partition, Mark>,
        limit: usize,
        hurry: bool,
    ) -> News {
        match self {
            Self::Journal(source) => source.next(cursors).await,
            Self::Kafka(source) => source.next(cursors, limit, hurry).await,
        }
    }

    /// The partitions that this process owns now.
    pub(crate) fn assigned(&self) -> BTreeSet<Partition> {
        match self {
            Self::Journal(source) => source.assigned(),
            Self::Kafka(source) => source.assigned(),
        }
    }

    /// How the operator names it when nothing can be received.
    pub(crate) fn ailment(&self) -> Ailment {
        match self {
            Self::Journal(_) => Ailment::DatabaseUnreachable,
            Self::Kafka(_) => Ailment::KafkaUnreachable,
        }
    }

    /// Whether the journal may have events that this source will not deliver on its own.
    pub(crate) fn may_miss_events(&self) -> bool {
        matches!(self, Self::Kafka(_))
    }

    /// The partitions for which events are still on their way from this source.
    pub(crate) async fn with_more(&self, partitions: Vec<Partition>) -> BTreeSet<Partition> {
        match self {
            Self::Journal(_) => BTreeSet::new(),
            Self::Kafka(source) => source.with_more(partitions).await,
        }
    }

    /// The ends of partitions in which this source has no saved offset to start at, or is reading again what was applied.
    pub(crate) async fn ends_to_skip_to(&mut self) -> BTreeMap<Partition, i64> {
        match self {
            Self::Journal(_) => BTreeMap::new(),
            Self::Kafka(source) => source.ends_to_skip_to().await,
        }
    }

    /// Everything before these Kafka offsets has been applied and need not be delivered again.
    pub(crate) async fn skip_to(&mut self, ends: BTreeMap<Partition, i64>) {
        match self {
            Self::Journal(_) => {}
            Self::Kafka(source) => source.skip_to(ends).await,
        }
    }

    /// Called now and then while a batch takes long.
    pub(crate) async fn stay(&mut self) {
        match self {
            Self::Journal(_) => {}
            Self::Kafka(source) => source.stay().await,
        }
    }

    /// Everything up to these Kafka offsets (inclusive) has been applied.
    pub(crate) fn applied(&mut self, offsets: impl Iterator<Item = (Partition, i64)>) {
        match self {
            Self::Journal(_) => {}
            Self::Kafka(source) => source.applied(offsets),
        }
    }

    pub(crate) async fn leave(self) {
        match self {
            Self::Journal(_) => {}
            Self::Kafka(source) => source.leave().await,
        }
    }
}
