//! Times as callers write them. The invariant: one grammar, that of RFC 3339, in queries, bodies and batches alike.
//! Anything that other parsers would read differently, or not at all, is refused.

use jiff::Timestamp;

/// The time in `text` by RFC 3339, section 5.6: a date, `T`, a time with seconds, and `Z` or the offset from UTC in hours
/// and minutes. `None` for anything else, or before the year 1 in UTC. Digits finer than a nanosecond are cut off.
pub fn rfc3339(text: &str) -> Option<Timestamp> {
    const DATE_AND_TIME: &[u8] = b"0000-00-00T00:00:00";
    const OFFSET: &[u8] = b"+00:00";
    let (moment, rest) = text.split_at_checked(DATE_AND_TIME.len())?;
    let digits = rest.strip_prefix('.').map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.split_at(end)
    });
    let (fraction, offset) = match digits {
        Some(("", _)) => return None,
        Some((fraction, offset)) => (fraction.get(..9).unwrap_or(fraction), offset),
        None => ("0", rest),
    };
    let is_offset = offset.eq_ignore_ascii_case("z")
        || has_form(offset, OFFSET) && &offset[1..3] <= "23" && &offset[4..] <= "59";
    if !is_offset || !has_form(moment, DATE_AND_TIME) || moment.starts_with("0000") {
        return None;
    }
    let time: Timestamp = format!("{moment}.{fraction}{offset}").parse().ok()?;
    (time >= YEAR_ONE).then_some(time)
}

/// 0001-01-01T00:00:00Z
const YEAR_ONE: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// A digit for each 0 of `form`, either sign for a +, and the same character for all others.
fn has_form(text: &str, form: &[u8]) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            other => byte.eq_ignore_ascii_case(other),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_rfc_3339_are_read() {
        for (text, read) in [
            ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
            ("2030-01-01t00:00:00z", "2030-01-01T00:00:00Z"),
            ("2030-01-01T00:00:00.5+05:30", "2029-12-31T18:30:00.5Z"),
            ("2030-01-01T00:00:00-23:59", "2030-01-01T23:59:00Z"),
            (
                "2030-01-01T00:00:00.1234567891234Z",
                "2030-01-01T00:00:00.123456789Z",
            ),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-30T21:59:59Z", "9999-12-30T21:59:59Z"),
        ] {
            let time = rfc3339(text).map(|time| time.to_string());
            assert_eq!(time.as_deref(), Some(read), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-01-01 00:00:00Z",
            "20300101T000000Z",
            "2030-01-01T000000Z",
            "2030-01-01T00Z",
            "2030-01-01T00:00Z",
            "2030-01-01T00:00:00Z[UTC]",
            "2030-01-01T00:00:00+00:00[Europe/Berlin]",
            "+009999-01-01T00:00:00Z",
            "-009999-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "2030-01-01T00:00:00,5Z",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00.5",
            "2030-01-01T00:00:00+01",
            "2030-01-01T00:00:00+0100",
            "2030-01-01T00:00:00+01:00:00",
            "2030-01-01T00:00:00+24:00",
            "2030-01-01T00:00:00+00:60",
            "2030-02-30T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-W01-1T00:00:00Z",
            "2030-01-01T00:00:00Z ",
            " 2030-01-01T00:00:00Z",
            "2030-01-01T00:00:0٠Z",
            "now",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
