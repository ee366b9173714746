//! Where a page of postings ends. The invariant: a place is the full sort key (time, partition, seq, line), so a page
//! neither repeats nor skips a posting that already existed.

use wallex_projections::ledger::read::Place;

/// Bytes of a place in a cursor.
pub(crate) const KEY: usize = 8 + 4 + 8 + 2;

/// A place as a cursor holds it.
pub(crate) fn key(place: Place) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..8].copy_from_slice(&place.recorded_at.to_be_bytes());
    key[8..12].copy_from_slice(&place.partition.to_be_bytes());
    key[12..20].copy_from_slice(&place.seq.to_be_bytes());
    key[20..].copy_from_slice(&place.line.to_be_bytes());
    key
}

pub(crate) fn of_key(key: [u8; KEY]) -> Place {
    let (recorded_at, rest) = take(&key);
    let (partition, rest) = take(rest);
    let (seq, rest) = take(rest);
    let (line, _) = take(rest);
    Place {
        recorded_at: i64::from_be_bytes(recorded_at),
        partition: i32::from_be_bytes(partition),
        seq: i64::from_be_bytes(seq),
        line: i16::from_be_bytes(line),
    }
}

/// The first `N` bytes, and the rest. A key is always long enough; missing bytes would be zero.
fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    match bytes.split_first_chunk::<N>() {
        Some((first, rest)) => (*first, rest),
        None => ([0; N], &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_key() {
        let place = Place {
            recorded_at: 1_769_860_800_000_001,
            partition: 3,
            seq: 1042,
            line: 2,
        };
        for place in [place, Place::END, Place::beginning_of(-7)] {
            assert_eq!(of_key(key(place)), place);
        }
    }
}
