//! Why a partition is stalled while the others continue.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wallex_domain::{Ailment, Partition};

/// A partition that stands still is tried again after this time: what it waits for may have happened.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// The partitions that stand still, and when each is tried again.
#[derive(Default)]
pub(crate) struct Stalls(BTreeMap<Partition, (Stall, Instant)>);

impl Stalls {
    /// Whether it is news that the partition stands still for this.
    pub(crate) fn insert(&mut self, partition: Partition, stall: Stall) -> bool {
        let known = self.0.get(&partition);
        let is_news = known.is_none_or(|(known, _)| *known != stall);
        self.0.insert(partition, (stall, Instant::now() + TRY_AGAIN));
        is_news
    }

    /// Whether it stood still.
    pub(crate) fn remove(&mut self, partition: Partition) -> bool {
        self.0.remove(&partition).is_some()
    }

    pub(crate) fn contains(&self, partition: Partition) -> bool {
        self.0.contains_key(&partition)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stall> {
        self.0.values().map(|(stall, _)| stall)
    }

    /// Those whose time has come. Each is given the next time.
    pub(crate) fn due(&mut self) -> Vec<(Partition, Stall)> {
        let now = Instant::now();
        let due = self.0.iter_mut().filter(|(_, (_, again))| *again <= now);
        due.map(|(partition, (stall, again))| {
            *again = now + TRY_AGAIN;
            (*partition, stall.clone())
        })
        .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stall {
    /// The journal lacks an event that the projection or Kafka has: it lost its tail.
    JournalRewound {
        partition: Partition,
        what: String,
        /// Kafka has more, not the projection: nothing blocks what the journal writes next.
        ahead: bool,
    },
    /// The journal's events do not form a chain: one between them is gone.
    HashChainBroken { partition: Partition, what: String },
    /// An event with a type or version that this build does not know.
    NeedsNewerVersion { partition: Partition, what: String },
    /// The database refuses the rows, or they contradict each other.
    Refused { partition: Partition, what: String },
}

impl Stall {
    /// The metric's label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::JournalRewound { .. } => "JournalRewound",
            Self::HashChainBroken { .. } => "HashChainBroken",
            Self::NeedsNewerVersion { .. } => "NeedsNewerVersion",
            Self::Refused { .. } => "Refused",
        }
    }

    /// How the operator names it.
    pub(crate) fn ailment(&self) -> Option<Ailment> {
        match self {
            Self::JournalRewound { .. } => Some(Ailment::JournalRewound),
            Self::HashChainBroken { .. } | Self::NeedsNewerVersion { .. } | Self::Refused { .. } => None,
        }
    }

    pub(crate) const REASONS: [&'static str; 4] = [
        "JournalRewound",
        "HashChainBroken",
        "NeedsNewerVersion",
        "Refused",
    ];
}

impl std::fmt::Display for Stall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JournalRewound { partition, what, .. } => write!(
                f,
                "JournalRewound in partition {partition}: {what}. The journal lost its latest events in a restore or \
                 a failover. Either restore the journal that has it, or accept the loss: stop publishers and projectors, \
                 delete the events topic, empty the projections' schemas and start again; they are filled from the \
                 journal"
            ),
            Self::HashChainBroken { partition, what } => write!(
                f,
                "HashChainBroken in partition {partition}: {what}. The journal was damaged or changed by hand: \
                 `wallex verify` names the place; recover the events from a backup. The partition then continues by itself"
            ),
            Self::NeedsNewerVersion { partition, what } => write!(
                f,
                "NeedsNewerVersion in partition {partition}: {what}. Upgrade this projector; nothing is lost meanwhile"
            ),
            Self::Refused { partition, what } => write!(f, "Refused in partition {partition}: {what}"),
        }
    }
}
