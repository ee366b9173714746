//! CSV by RFC 4180: a line of names, then a line per row, each ended by CR LF. The invariant: no cell that somebody
//! outside has written becomes a formula in a spreadsheet.

use std::borrow::Cow;

use serde::Serialize;

use super::{Encode, Record};
use crate::problem::ReadError;

/// What spreadsheets take for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

pub(crate) enum Cell<'a> {
    /// Written by the platform itself: numbers, names, times, ids.
    Plain(Cow<'a, str>),
    /// Written by somebody else. One that looks like a formula gets an apostrophe before it.
    Text(&'a str),
    Empty,
}

impl<'a> Cell<'a> {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers and ids are small; a call reads as what it writes"
    )]
    pub(crate) fn plain(value: impl ToString) -> Self {
        Self::Plain(Cow::Owned(value.to_string()))
    }

    pub(crate) fn plain_or_empty(value: Option<impl ToString>) -> Self {
        value.map_or(Self::Empty, Self::plain)
    }

    pub(crate) fn text(value: Option<&'a str>) -> Self {
        value.map_or(Self::Empty, Self::Text)
    }

    /// An object as JSON text, which begins with a brace.
    pub(crate) fn json(value: Option<&impl Serialize>) -> Self {
        let text = value.and_then(|value| serde_json::to_string(value).ok());
        text.map_or(Self::Empty, |text| Self::Plain(Cow::Owned(text)))
    }
}

pub(crate) struct Csv;

impl<R: Record + 'static> Encode<R> for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let names = R::columns().into_iter();
        line(names.map(|name| Cell::Plain(Cow::Borrowed(name))), out);
        Ok(())
    }

    fn row(&mut self, row: &R, out: &mut Vec<u8>) -> Result<(), ReadError> {
        line(row.cells(), out);
        Ok(())
    }
}

fn line<'a>(cells: impl IntoIterator<Item = Cell<'a>>, out: &mut Vec<u8>) {
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Plain(text) => quoted("", &text, out),
            Cell::Text(text) if text.starts_with(FORMULA) => quoted("'", text, out),
            Cell::Text(text) => quoted("", text, out),
            Cell::Empty => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Between quotation marks where the text has a comma, a quotation mark or a line's end.
fn quoted(before: &str, text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', '\r', '\n']) {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(before.as_bytes());
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn written(cells: Vec<Cell<'_>>) -> String {
        let mut out = Vec::new();
        line(cells, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_would_break_a_line_is_quoted() {
        let cells = vec![
            Cell::text(Some("a,b")),
            Cell::text(Some("say \"hi\"\r\nbye")),
            Cell::Empty,
            Cell::text(Some("plain")),
        ];
        assert_eq!(written(cells), "\"a,b\",\"say \"\"hi\"\"\r\nbye\",,plain\r\n");
    }

    #[test]
    fn a_text_that_looks_like_a_formula_is_disarmed_and_a_number_is_not() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"] {
            assert_eq!(written(vec![Cell::text(Some(text))]), format!("'{text}\r\n"));
        }
        assert_eq!(written(vec![Cell::text(Some("\r=1"))]), "\"'\r=1\"\r\n");
        assert_eq!(
            written(vec![Cell::text(Some("=A1,\"x\""))]),
            "\"'=A1,\"\"x\"\"\"\r\n"
        );
        assert_eq!(written(vec![Cell::text(Some("a=1"))]), "a=1\r\n");
        assert_eq!(written(vec![Cell::plain(-5)]), "-5\r\n");
    }
}
