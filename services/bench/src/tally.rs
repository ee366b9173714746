//! Counts the results. Each worker keeps its own tally, and all are added up at the end, so counting shares no cache
//! lines. The invariant: every operation that was started is in exactly one of `ok`, `failed` and `abandoned`.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::mix::Kind;
use crate::prediction::Surprise;

/// Latencies in microseconds, to three significant digits, up to the longest timeout.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "three digits and this range are within what the histogram takes"
        )]
        let histogram = Histogram::new_with_max(3_600_000_000, 3).expect("constant bounds");
        Self(histogram)
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Histograms with the same bounds can always be added.
        let _ = self.0.add(&other.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds; 0 if nothing was recorded.
    pub(crate) fn percentile(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1_000.0
    }
}

/// Figures for one kind of operation.
#[derive(Debug, Clone)]
pub(crate) struct KindTally {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    /// Minor units moved by the ok ones.
    pub(crate) amount: i64,
    pub(crate) latency: Latency,
}

/// Failures with one code, and the text of the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) count: u64,
    pub(crate) example: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Tally {
    kinds: [KindTally; 3],
    pub(crate) retries: u64,
    pub(crate) replayed: u64,
    pub(crate) http_5xx: u64,
    /// Abandoned because the run was interrupted.
    pub(crate) abandoned: u64,
    /// By problem code.
    pub(crate) failures: BTreeMap<String, Failure>,
    /// Highest seq per partition in any answer.
    pub(crate) positions: HashMap<i32, i64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let kind = KindTally {
            ok: 0,
            failed: 0,
            amount: 0,
            latency: Latency::new(),
        };
        Self {
            kinds: [kind.clone(), kind.clone(), kind],
            retries: 0,
            replayed: 0,
            http_5xx: 0,
            abandoned: 0,
            failures: BTreeMap::new(),
            positions: HashMap::new(),
        }
    }

    pub(crate) fn kind(&self, kind: Kind) -> &KindTally {
        &self.kinds[kind as usize]
    }

    pub(crate) fn ok(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.ok).sum()
    }

    /// Failures of operations; those of wallet creations are only in `failures`.
    pub(crate) fn failed(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.failed).sum()
    }

    /// Operations that got any answer.
    pub(crate) fn operations(&self) -> u32 {
        u32::try_from(self.ok() + self.failed()).unwrap_or(u32::MAX)
    }

    pub(crate) fn latency(&self) -> Latency {
        let mut all = Latency::new();
        for kind in &self.kinds {
            all.add(&kind.latency);
        }
        all
    }

    /// `amount` in minor units.
    pub(crate) fn record_ok(&mut self, kind: Kind, amount: i64, latency: Duration) {
        let tally = &mut self.kinds[kind as usize];
        tally.ok += 1;
        tally.amount += amount;
        tally.latency.record(latency);
    }

    /// `kind` is none for the creation of a wallet.
    pub(crate) fn record_failure(&mut self, kind: Option<Kind>, surprise: Surprise) {
        if let Some(kind) = kind {
            self.kinds[kind as usize].failed += 1;
        }
        let failure = self.failures.entry(surprise.code).or_insert(Failure {
            count: 0,
            example: surprise.detail,
        });
        failure.count += 1;
    }

    pub(crate) fn record_position(&mut self, partition: i32, seq: i64) {
        let highest = self.positions.entry(partition).or_default();
        *highest = seq.max(*highest);
    }

    /// Takes over the journal positions from another phase's answers.
    pub(crate) fn add_positions(&mut self, other: &Self) {
        for (partition, seq) in &other.positions {
            self.record_position(*partition, *seq);
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.add_positions(&other);
        for (mine, theirs) in self.kinds.iter_mut().zip(other.kinds) {
            mine.ok += theirs.ok;
            mine.failed += theirs.failed;
            mine.amount += theirs.amount;
            mine.latency.add(&theirs.latency);
        }
        self.retries += other.retries;
        self.replayed += other.replayed;
        self.http_5xx += other.http_5xx;
        self.abandoned += other.abandoned;
        for (code, failure) in other.failures {
            let mine = self.failures.entry(code).or_insert(Failure {
                count: 0,
                example: failure.example,
            });
            mine.count += failure.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let mut one = Tally::new();
        one.record_ok(Kind::Credits, 10, Duration::from_millis(2));
        one.record_position(3, 7);
        let mut other = Tally::new();
        other.record_ok(Kind::Debits, 5, Duration::from_millis(4));
        other.record_position(3, 5);
        other.retries = 2;
        for detail in ["first", "second"] {
            let surprise = Surprise {
                code: "internal".to_owned(),
                detail: detail.to_owned(),
            };
            other.record_failure(Some(Kind::Debits), surprise);
        }
        one.add(other);
        assert_eq!((one.ok(), one.failed(), one.retries), (2, 2, 2));
        assert_eq!(
            one.failures["internal"],
            Failure {
                count: 2,
                example: "first".to_owned()
            }
        );
        assert_eq!(one.positions[&3], 7);
        assert!((1.9..=2.1).contains(&one.latency().percentile(50.0)));
        assert!((3.9..=4.1).contains(&one.latency().percentile(99.0)));
    }
}
