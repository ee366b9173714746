//! Divides the partitions that are due among statements. Pure.
//!
//! The invariant: no statement reads more rows than a whole page of one partition, because all of them are in memory at
//! once, and events may be large.

use wallex_domain::{Mark, Partition};
use wallex_journal::read::Page;

use super::PAGE;

/// A partition that has something new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) partition: Partition,
    /// The last event that was sent.
    pub(super) sent: Mark,
    /// The journal's last seq.
    pub(super) head: i64,
}

impl Due {
    pub(super) fn page(&self) -> Page {
        Page {
            partition: self.partition,
            after_seq: self.sent.seq,
            limit: (self.head - self.sent.seq).min(PAGE as i64),
        }
    }
}

/// A page of each partition, in order: many short ones to a statement, a full one alone.
pub(super) fn statements(due: &[Due]) -> Vec<&[Due]> {
    let mut statements = Vec::new();
    let (mut first, mut rows) = (0, 0);
    for (i, one) in due.iter().enumerate() {
        // The event before each page is read as well.
        let more = one.page().limit + 1;
        if i > first && rows + more > PAGE as i64 + 1 {
            statements.push(&due[first..i]);
            (first, rows) = (i, 0);
        }
        rows += more;
    }
    if first < due.len() {
        statements.push(&due[first..]);
    }
    statements
}

#[cfg(test)]
mod tests {
    use wallex_domain::Hash;

    use super::*;

    fn due(behind: impl IntoIterator<Item = i64>) -> Vec<Due> {
        let due = |(partition, behind)| Due {
            partition: Partition(partition),
            sent: Mark {
                seq: 1_000,
                hash: Hash::GENESIS,
            },
            head: 1_000 + behind,
        };
        (0..).zip(behind).map(due).collect()
    }

    fn lengths(behind: impl IntoIterator<Item = i64>) -> Vec<usize> {
        let due = due(behind);
        statements(&due).into_iter().map(<[Due]>::len).collect()
    }

    #[test]
    fn what_is_new_in_many_partitions_is_read_at_once() {
        assert_eq!(lengths([3; 64]), [64]);
        assert_eq!(lengths([1]), [1]);
        assert_eq!(lengths([]), [0; 0]);
    }

    #[test]
    fn a_statement_reads_no_more_than_one_whole_page() {
        assert_eq!(lengths([1; 256]), [250, 6]);
        assert_eq!(lengths([PAGE as i64, 1, 1]), [1, 2]);
        assert_eq!(lengths([1_000_000, 1_000_000, 2, 400, 99]), [1, 1, 2, 1]);
        for behind in [1, 7, 100, 499, 500, 501] {
            let due = due([behind; 256]);
            for statement in statements(&due) {
                let rows: i64 = statement.iter().map(|one| one.page().limit + 1).sum();
                assert!(
                    rows <= PAGE as i64 + 1,
                    "{rows} rows for {behind} new events each"
                );
            }
        }
    }

    /// However far one partition is behind, each gets its page in each round.
    #[test]
    fn no_partition_is_left_out_or_cut_short() {
        let behind = [1_000_000, 1, 30, 500, 501, 2];
        let due = due(behind);
        let pages: Vec<(i32, i64, i64)> = statements(&due)
            .concat()
            .iter()
            .map(|one| (one.partition.0, one.page().after_seq, one.page().limit))
            .collect();
        let expected = [500, 1, 30, 500, 500, 2];
        let expected: Vec<_> = (0..)
            .zip(expected)
            .map(|(id, limit)| (id, 1_000, limit))
            .collect();
        assert_eq!(pages, expected);
    }
}
