//! Chooses the form of an answer by the `Accept` header (RFC 9110, section 12.5.1). The invariant: a client that does not
//! ask for a table, or asks for an unknown form, gets JSON.

use http::header::ACCEPT;
use http::request::Parts;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Table(Table),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Ndjson,
    Csv,
}

impl Table {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

impl Format {
    pub(crate) fn of(parts: &Parts) -> Self {
        let lines = parts.headers.get_all(ACCEPT).iter();
        let text: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        wanted(&text.join(","))
    }
}

/// The form with the highest quality; among equals the more specific one, then the earlier one.
fn wanted(accept: &str) -> Format {
    let mut best = (0, 0, Format::Json);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (exactness, format) = match media.as_str() {
            "application/json" => (3, Format::Json),
            "application/x-ndjson" => (3, Format::Table(Table::Ndjson)),
            "text/csv" => (3, Format::Table(Table::Csv)),
            "application/*" => (2, Format::Json),
            "text/*" => (2, Format::Table(Table::Csv)),
            "*/*" => (1, Format::Json),
            _ => continue,
        };
        let quality = parts
            .find_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")))
            .map_or(1000, quality);
        if quality > 0 && (quality, exactness) > (best.0, best.1) {
            best = (quality, exactness, format);
        }
    }
    best.2
}

/// In thousandths: `0.5` is 500, `1` is 1000. An invalid value counts as 0.
fn quality(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" => 1000,
        "0" if digits => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_form_wins_and_json_otherwise() {
        const NDJSON: Format = Format::Table(Table::Ndjson);
        const CSV: Format = Format::Table(Table::Csv);
        for (accept, format) in [
            ("", Format::Json),
            ("*/*", Format::Json),
            ("image/png", Format::Json),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Json),
            ("application/x-ndjson", NDJSON),
            ("Text/CSV; charset=utf-8", CSV),
            ("text/*", CSV),
            ("text/csv, application/json", CSV),
            ("application/json, text/csv", Format::Json),
            ("application/json;q=0.5, text/csv;q=0.9", CSV),
            ("*/*, application/x-ndjson", NDJSON),
            ("text/csv;q=0", Format::Json),
            ("text/csv;q=0.001", CSV),
            ("text/csv;q=x", Format::Json),
        ] {
            assert_eq!(wanted(accept), format, "{accept}");
        }
    }
}
