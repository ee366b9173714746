//! The scenarios: what each sends, to how many wallets, and what it needs.

use clap::ValueEnum;

wallex_domain::words! {
    #[derive(ValueEnum)]
    pub(crate) enum Scenario {
        Seed = "seed",
        Spread = "spread",
        Hot = "hot",
        Transfer = "transfer",
        HotTransfer = "hot-transfer",
        Batch = "batch",
        Hold = "hold",
        Reads = "reads",
        History = "history",
        Mixed = "mixed",
    }
}

/// Commands in a request of [`Scenario::Batch`]: the most that the API takes.
pub(crate) const BATCH: u32 = 1_000;
/// The most connections with batches: a command process queues 10,000 commands and refuses more.
const BATCHES: u32 = 8;
/// Wallets of the scenarios with many, unless another number is asked for.
pub(crate) const MANY: usize = 10_000;
/// Entries that a wallet has when its history is read.
pub(crate) const HISTORY: u32 = 100;
/// Entries per page of a history.
pub(crate) const PAGE: u32 = 20;

impl Scenario {
    /// What is sent, for the table. Without projections, wallets are read from the journal.
    pub(crate) fn what(self, has_projections: bool) -> &'static str {
        match (self, has_projections) {
            (Self::Seed, _) => "credits, debits and transfers in equal shares",
            (Self::Spread | Self::Hot, _) => "credits",
            (Self::Transfer, _) => "transfers between random pairs",
            (Self::HotTransfer, _) => "transfers between one wallet and the others, either way",
            (Self::Batch, _) => "batches of 1,000 credits; counted by command",
            (Self::Hold, _) => "a hold, then its capture; both are counted",
            (Self::Reads, true) => "reads of a wallet by id",
            (Self::Reads, false) => "strong reads of a wallet by id",
            (Self::History, _) => "the newest 20 of a wallet's 100 entries",
            (Self::Mixed, true) => {
                "45 % reads, 5 % histories, 20 % credits, 10 % debits, 15 % transfers, 5 % holds"
            }
            (Self::Mixed, false) => "50 % strong reads, 20 % credits, 10 % debits, 15 % transfers, 5 % holds",
        }
    }

    /// Those with many wallets have `many`.
    pub(crate) fn wallets(self, many: usize) -> usize {
        match self {
            Self::Seed => 1_000,
            Self::Hot => 1,
            Self::History => 100,
            Self::Spread
            | Self::Transfer
            | Self::HotTransfer
            | Self::Batch
            | Self::Hold
            | Self::Reads
            | Self::Mixed => many,
        }
    }

    /// The numbers of connections that make sense of those that are asked for.
    pub(crate) fn connections(self, asked: &[u32]) -> Vec<u32> {
        let most = match self {
            Self::Batch => BATCHES,
            Self::Seed
            | Self::Spread
            | Self::Hot
            | Self::Transfer
            | Self::HotTransfer
            | Self::Hold
            | Self::Reads
            | Self::History
            | Self::Mixed => u32::MAX,
        };
        let mut numbers = Vec::new();
        for number in asked.iter().map(|number| *number.min(&most)) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    pub(crate) fn writes(self) -> bool {
        !matches!(self, Self::Reads | Self::History)
    }

    /// Whether it can only be run on projections.
    pub(crate) fn needs_projections(self) -> bool {
        self == Self::History
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_never_fill_the_queue() {
        assert_eq!(Scenario::Batch.connections(&[1, 16, 64, 256]), [1, 8]);
        assert_eq!(Scenario::Spread.connections(&[1, 16]), [1, 16]);
    }
}
