//! Why a partition is stalled while the others continue.

use std::time::Duration;

use wallex_domain::{Ailment, Partition};

/// A stalled partition is retried after this time: what it waits for may have happened.
pub(crate) const TRY_AGAIN: Duration = Duration::from_secs(10);

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
