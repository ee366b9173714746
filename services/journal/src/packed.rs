//! How answers are stored: packed, in a form that stays readable for ever.
//!
//! An answer to a command is some 400 bytes of JSON and headers, of which hardly more than ids, numbers and the time differ
//! from one to the next. It is compressed as an LZ4 block against a text that has the rest, the dictionary.
//!
//! The invariant: whatever is packed is unpacked byte for byte, by this build and by every later one. A dictionary is
//! never changed; a better one gets a number of its own.

use bytes::Bytes;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_with_dict};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use crate::append::Answer;

/// Answers as the command role gave them when this was written. The most frequent ones stand last, which is nearest.
const DICTIONARY_1: &[u8] = include_bytes!("packed_1.txt");
/// No answer is longer: a request has at most 1,000 commands.
const MAX_BYTES: usize = 16 << 20;

/// Stored bytes that are no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the form of the stored answer is {0}, which this build does not know")]
    Form(u8),
    #[error("the stored answer is cut off or changed")]
    Damaged,
}

/// ETag, position and location of the answer, a line each, and its body. A number for the form goes before.
pub(crate) fn pack(answer: &Answer) -> Vec<u8> {
    let headers = [&answer.etag, &answer.position, &answer.location];
    let length: usize = headers
        .iter()
        .map(|header| header.as_ref().map_or(1, |text| text.len() + 1))
        .sum();
    let mut plain = Vec::with_capacity(length + answer.body.len());
    for header in headers {
        plain.extend_from_slice(header.as_deref().unwrap_or_default().as_bytes());
        plain.push(b'\n');
    }
    plain.extend_from_slice(&answer.body);
    let mut packed = compress_prepend_size_with_dict(&plain, DICTIONARY_1);
    packed.insert(0, 1);
    packed
}

fn unpack(status: u16, packed: &[u8]) -> Result<Answer, Unreadable> {
    let (form, packed) = packed.split_first().ok_or(Unreadable::Damaged)?;
    if *form != 1 {
        return Err(Unreadable::Form(*form));
    }
    let (size, block) = packed.split_first_chunk().ok_or(Unreadable::Damaged)?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    if size > MAX_BYTES {
        return Err(Unreadable::Damaged);
    }
    let plain = decompress_with_dict(block, size, DICTIONARY_1).map_err(|_| Unreadable::Damaged)?;
    if plain.len() != size {
        return Err(Unreadable::Damaged);
    }
    let mut rest = Bytes::from(plain);
    let mut header = || {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(Unreadable::Damaged)?;
        let line = rest.split_to(end + 1);
        let text = std::str::from_utf8(&line[..end]).map_err(|_| Unreadable::Damaged)?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    };
    let [etag, position, location] = [header()?, header()?, header()?];
    Ok(Answer {
        status,
        body: rest,
        etag,
        position,
        location,
    })
}

/// From `status` and `packed`, or from the columns that answers had of their own before schema version 11.
impl FromRow<'_, PgRow> for Answer {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        // Written from a u16 below 600.
        let status = row.try_get::<i16, _>("status")? as u16;
        if let Some(packed) = row.try_get("packed")? {
            return unpack(status, packed).map_err(|error| sqlx::Error::Decode(error.into()));
        }
        Ok(Self {
            status,
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
            etag: row.try_get("etag")?,
            position: row.try_get("position")?,
            location: row.try_get("location")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static [u8], headers: [Option<&str>; 3]) -> Answer {
        let [etag, position, location] = headers.map(|header| header.map(str::to_owned));
        Answer {
            status: 201,
            body: Bytes::from_static(body),
            etag,
            position,
            location,
        }
    }

    const CREDIT: &[u8] = br#"{"transaction_id":"0193808c-5b2e-7c43-9d1f-64a0f3b8e217","type":"credit","recorded_at":"2027-03-09T16:42:07.318264Z","amount":48350,"currency":"USD","wallet":{"id":"7be0c1d4-02f9-4b6a-8f55-d9a17c3e6b80","currency":"USD","balance":917204,"held":0,"available":917204,"overdraft_limit":0,"version":318,"status":"active","position":"11:90417"}}"#;

    fn credit() -> Answer {
        let location = "/v1/transactions/0193808c-5b2e-7c43-9d1f-64a0f3b8e217";
        answer(CREDIT, [Some("\"318\""), Some("11:90417"), Some(location)])
    }

    #[test]
    fn what_is_packed_comes_back_byte_for_byte() {
        let plain = answer(b"", [None, None, None]);
        let strange = answer(b"\n\n\0\xff\n", [None, Some("0:1"), None]);
        let long = Answer {
            body: CREDIT.repeat(2_000).into(),
            ..credit()
        };
        for answer in [plain, strange, credit(), long] {
            assert_eq!(unpack(201, &pack(&answer)).ok(), Some(answer));
        }
    }

    #[test]
    fn an_answer_takes_less_than_half_the_room() {
        let answer = credit();
        let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let plain = answer.body.len() + size(&answer.etag) + size(&answer.position) + size(&answer.location);
        let packed = pack(&answer).len();
        assert!(packed * 2 < plain, "{packed} of {plain} bytes");
    }

    /// Rows that were stored with it could not be read any more.
    #[test]
    fn the_dictionary_is_never_changed() {
        assert_eq!(
            blake3::hash(DICTIONARY_1).to_hex().as_str(),
            "1156ffc63e371da1e20e0db8b3fbda579ec841db0f861a52d7dfac5c37080232"
        );
    }

    #[test]
    fn damaged_rows_are_refused() {
        let whole = pack(&credit());
        for end in 0..whole.len() {
            assert!(unpack(201, &whole[..end]).is_err(), "cut off at {end}");
        }
        assert!(matches!(unpack(201, &[2, 0, 0, 0, 0]), Err(Unreadable::Form(2))));
        let mut huge = whole;
        huge[1..5].fill(0xff);
        assert!(matches!(unpack(201, &huge), Err(Unreadable::Damaged)));
    }
}
