//! The findings of a check. A fault that repeats a million times is listed a few times and counted: the report stays
//! short however large the journal is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// The most lines kept for one kind of problem; the rest is counted.
const LINES_PER_KIND: u64 = 20;
/// Interval between log lines about a long check.
const PROGRESS: Duration = Duration::from_secs(10);

/// What a problem is about. One kind's lines never crowd out another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Partition,
    Chain,
    Wallet,
    Leg,
    Hold,
    Reversal,
    PersonalData,
    Erasure,
    ExternalId,
    Movement,
    Publication,
    Answer,
    /// Of a projection, by its name for people.
    Cursor(&'static str),
    /// Rows of a projection, by the projection's name for them.
    Rows(&'static str),
    Parked,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Partition => "partitions",
            Self::Chain => "hash chain",
            Self::Wallet => "wallets",
            Self::Leg => "legs of movements",
            Self::Hold => "holds",
            Self::Reversal => "reversals",
            Self::PersonalData => "personal data",
            Self::Erasure => "erasures",
            Self::ExternalId => "external ids",
            Self::Movement => "external ids of movements",
            Self::Publication => "publication",
            Self::Answer => "stored answers",
            Self::Cursor(projection) => return write!(f, "the {projection}'s cursors"),
            Self::Rows(name) => name,
            Self::Parked => "parked events",
        };
        f.write_str(name)
    }
}

#[derive(Debug, Default)]
pub struct Report {
    pub partitions: usize,
    pub events: i64,
    pub wallets: usize,
    /// The problems, one line each, at most 20 per kind; empty if there are none.
    pub problems: Vec<String>,
    counts: BTreeMap<Kind, u64>,
    progress: Option<Instant>,
}

impl Report {
    pub fn add(&mut self, kind: Kind, line: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= LINES_PER_KIND {
            self.problems.push(line());
        }
    }

    /// [`Self::add`] for each of `faults`.
    pub fn add_each<Fault>(
        &mut self,
        kind: Kind,
        faults: impl IntoIterator<Item = Fault>,
        line: impl Fn(Fault) -> String,
    ) {
        for fault in faults {
            self.add(kind, || line(fault));
        }
    }

    /// All problems, including those without a line.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The kinds with more problems than lines, and how many have no line.
    pub fn unnamed(&self) -> impl Iterator<Item = (Kind, u64)> {
        let more = |(kind, count): (&Kind, &u64)| Some((*kind, count.checked_sub(LINES_PER_KIND)?));
        self.counts.iter().filter_map(more).filter(|(_, more)| *more > 0)
    }

    /// Logs now and then how far a check has got.
    pub fn progress(&mut self, at: impl fmt::Display) {
        let last = *self.progress.get_or_insert_with(Instant::now);
        if last.elapsed() >= PROGRESS {
            self.progress = Some(Instant::now());
            tracing::info!(events = self.events, problems = self.total(), %at, "checking");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_repeats_is_named_a_few_times_and_counted() {
        let mut report = Report::default();
        report.add_each(Kind::Rows("entries"), 0..1_000, |n| format!("entry {n}"));
        report.add(Kind::Hold, || "hold".to_owned());
        assert_eq!(report.problems.len(), 21);
        assert_eq!(report.total(), 1_001);
        assert_eq!(
            report.unnamed().collect::<Vec<_>>(),
            [(Kind::Rows("entries"), 980)]
        );
    }
}
