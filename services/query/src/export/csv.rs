//! CSV by RFC 4180: a header line, then a line per row, each ended by CR LF. The invariant: no cell with outside text
//! becomes a formula in a spreadsheet.

use std::borrow::Cow;

use serde::Serialize;

use super::{Encode, Record};
use crate::problem::ReadError;

/// Characters that spreadsheets take for the start of a formula, with the wide and small forms that some of them treat
/// alike (OWASP, CSV Injection).
const FORMULA: [char; 12] = [
    '=', '+', '-', '@', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}', '\u{FE66}', '\u{FE62}', '\u{FE63}',
    '\u{FE6B}',
];
/// Where a spreadsheet may start a new cell within a text. Quotation marks protect commas everywhere, but a spreadsheet
/// that separates by semicolons or tabs treats the marks as text.
const NEW_CELL: [char; 4] = [';', '\t', '\r', '\n'];

pub(crate) enum Cell<'a> {
    /// Written by the platform itself: numbers, names, times, ids.
    Plain(Cow<'a, str>),
    /// Written by somebody else. If it looks like a formula, it is prefixed with an apostrophe.
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

    /// An object as JSON text, which begins with a brace. What would begin a formula within is escaped as JSON does.
    pub(crate) fn json(value: Option<&impl Serialize>) -> Self {
        let text = value.and_then(|value| serde_json::to_string(value).ok());
        text.map_or(Self::Empty, |text| Self::Plain(Cow::Owned(escaped(&text))))
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
            Cell::Plain(text) => quoted(&text, out),
            Cell::Text(text) => quoted(&disarmed(text), out),
            Cell::Empty => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a cell that begins like this may be taken for a formula, after what spreadsheets or a cleanup may drop.
fn is_formula(text: &str) -> bool {
    let dropped = |c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\u{FEFF}' | '\u{200B}'..='\u{200F}')
    };
    text.trim_start_matches(dropped).starts_with(FORMULA)
}

/// With an apostrophe before anything that may be taken for a formula: at the start, or where a new cell may begin.
fn disarmed(text: &str) -> Cow<'_, str> {
    let starts_badly = is_formula(text) || text.starts_with(['\t', '\r', '\n']);
    if !starts_badly && !text.contains(NEW_CELL) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 1);
    if starts_badly {
        safe.push('\'');
    }
    for (at, c) in text.char_indices() {
        safe.push(c);
        let rest = &text[at + c.len_utf8()..];
        if NEW_CELL.contains(&c) && is_formula(rest) && !rest.starts_with(NEW_CELL) {
            safe.push('\'');
        }
    }
    Cow::Owned(safe)
}

/// JSON in which no formula follows a semicolon. JSON has semicolons only in strings, and raw tabs and line breaks nowhere.
fn escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    let mut armed = false;
    for c in json.chars() {
        if armed && FORMULA.contains(&c) {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
        armed = c == ';' || armed && c.is_whitespace();
    }
    safe
}

/// In quotation marks if the text has a comma, a quotation mark, another separator or a line break.
fn quoted(text: &str, out: &mut Vec<u8>) {
    if !text.contains([',', '"', ';', '\t', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
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
        for text in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "＝1+1",
            "＋1",
            "－1",
            "＠SUM(A1)",
            " =1+1",
            "\u{a0}=1",
            "\u{feff}=1",
            "'=1",
            "\u{200b}=1",
            "\u{0}=1",
            "\u{fe66}1",
        ] {
            assert_eq!(written(vec![Cell::text(Some(text))]), format!("'{text}\r\n"));
        }
        for text in ["\rx", "\nx", "\tx", "\tfree"] {
            assert_eq!(written(vec![Cell::text(Some(text))]), format!("\"'{text}\"\r\n"));
        }
        assert_eq!(written(vec![Cell::text(Some("\n=1+1"))]), "\"'\n'=1+1\"\r\n");
        assert_eq!(written(vec![Cell::text(Some("\"=1"))]), "\"'\"\"=1\"\r\n");
        // With another separator, these are two cells.
        assert_eq!(written(vec![Cell::text(Some("rent;=1+1"))]), "\"rent;'=1+1\"\r\n");
        assert_eq!(written(vec![Cell::text(Some("a\r\n @b"))]), "\"a\r\n' @b\"\r\n");
        assert_eq!(written(vec![Cell::text(Some("a;b, -c"))]), "\"a;b, -c\"\r\n");
        let object = serde_json::json!({"a": "x; =1;y", "b": -1});
        assert_eq!(
            written(vec![Cell::json(Some(&object))]),
            "\"{\"\"a\"\":\"\"x; \\u003d1;y\"\",\"\"b\"\":-1}\"\r\n"
        );
        assert_eq!(
            written(vec![Cell::text(Some("=A1,\"x\""))]),
            "\"'=A1,\"\"x\"\"\"\r\n"
        );
        assert_eq!(written(vec![Cell::text(Some("a=1"))]), "a=1\r\n");
        assert_eq!(written(vec![Cell::plain(-5)]), "-5\r\n");
    }
}
