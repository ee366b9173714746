//! The lines of a statement in its three forms: one JSON document, NDJSON, CSV.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::EntryBody;
use crate::export::{Cell, Encode, Record};
use crate::problem::ReadError;

/// What a statement begins with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementOpening)]
pub(crate) struct Opening {
    pub(super) wallet_id: Uuid,
    #[schema(example = "EUR")]
    pub(super) currency: String,
    #[schema(format = DateTime, example = "2026-01-01T00:00:00.000000Z")]
    pub(super) from: String,
    #[schema(format = DateTime, example = "2026-02-01T00:00:00.000000Z")]
    pub(super) to: String,
    /// The balance before `from`, in minor units; 0 before there was a wallet.
    pub(super) opening_balance: i64,
    /// Present and true when an event of the wallet could not be projected: it and later ones are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stale: bool,
}

/// What a statement ends with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementClosing)]
pub(crate) struct Closing {
    #[serde(skip)]
    pub(super) to: String,
    /// What came in, in minor units, as a decimal string: it may be larger than any integer type.
    #[schema(pattern = "^[0-9]+$", example = "12500")]
    pub(super) total_in: String,
    /// What went out, in minor units, as a decimal string: it may be larger than any integer type.
    #[schema(pattern = "^[0-9]+$", example = "5250")]
    pub(super) total_out: String,
    /// opening_balance + total_in - total_out, in minor units.
    pub(super) closing_balance: i64,
}

/// For the API description of the JSON document, which is written piece by piece.
#[derive(ToSchema)]
#[schema(as = Statement)]
#[expect(dead_code, reason = "its fields describe, they are never read")]
pub(crate) struct StatementBody {
    wallet_id: Uuid,
    #[schema(example = "EUR")]
    currency: String,
    #[schema(format = DateTime, example = "2026-01-01T00:00:00.000000Z")]
    from: String,
    #[schema(format = DateTime, example = "2026-02-01T00:00:00.000000Z")]
    to: String,
    /// The balance before `from`, in minor units; 0 before there was a wallet.
    opening_balance: i64,
    /// Present and true when an event of the wallet could not be projected: it and later ones are missing.
    #[schema(required = false)]
    stale: bool,
    /// Oldest first.
    entries: Vec<EntryBody>,
    /// What came in, in minor units, as a decimal string: it may be larger than any integer type.
    #[schema(pattern = "^[0-9]+$", example = "12500")]
    total_in: String,
    /// What went out, in minor units, as a decimal string: it may be larger than any integer type.
    #[schema(pattern = "^[0-9]+$", example = "5250")]
    total_out: String,
    /// opening_balance + total_in - total_out, in minor units.
    closing_balance: i64,
}

/// A line of a statement, as NDJSON and CSV have it.
#[derive(Serialize, ToSchema)]
#[serde(tag = "line", rename_all = "snake_case")]
#[schema(as = StatementLine)]
pub(crate) enum Line {
    Opening(Opening),
    Entry(Box<EntryBody>),
    Closing(Closing),
}

impl Record for Line {
    /// The kind of line, then an entry's. In the first line `recorded_at` and `balance_after` are the beginning of the
    /// period and its opening balance, in the last one the end and the closing balance.
    fn columns() -> Vec<&'static str> {
        let mut columns = EntryBody::columns();
        columns.insert(0, "line");
        columns.extend(["total_in", "total_out"]);
        columns
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        match self {
            Self::Opening(opening) => edge(
                "opening",
                &opening.from,
                &opening.currency,
                opening.opening_balance,
                None,
            ),
            Self::Entry(entry) => {
                let mut cells = entry.cells();
                cells.insert(0, Cell::plain("entry"));
                cells.extend([Cell::Empty, Cell::Empty]);
                cells
            }
            Self::Closing(closing) => edge(
                "closing",
                &closing.to,
                "",
                closing.closing_balance,
                Some((&closing.total_in, &closing.total_out)),
            ),
        }
    }
}

/// A statement's first or last line.
fn edge(
    line: &str,
    at: &str,
    currency: &str,
    balance: i64,
    totals: Option<(&str, &str)>,
) -> Vec<Cell<'static>> {
    let cell = |column| match column {
        "line" => Cell::plain(line),
        "recorded_at" => Cell::plain(at),
        "currency" => Cell::plain(currency),
        "balance_after" => Cell::plain(balance),
        "total_in" => Cell::plain_or_empty(totals.map(|(total_in, _)| total_in)),
        "total_out" => Cell::plain_or_empty(totals.map(|(_, total_out)| total_out)),
        _ => Cell::Empty,
    };
    Line::columns().into_iter().map(cell).collect()
}

/// The lines as one JSON object: the opening's members, `entries`, the closing's members.
#[derive(Default)]
pub(super) struct Document {
    entries: bool,
}

impl Encode<Line> for Document {
    fn row(&mut self, line: &Line, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match line {
            Line::Opening(opening) => {
                let object = serde_json::to_vec(opening)?;
                out.extend_from_slice(object.strip_suffix(b"}").unwrap_or_default());
                out.extend_from_slice(b",\"entries\":[");
            }
            Line::Entry(entry) => {
                if std::mem::replace(&mut self.entries, true) {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, entry)?;
            }
            Line::Closing(closing) => {
                let object = serde_json::to_vec(closing)?;
                out.extend_from_slice(b"],");
                out.extend_from_slice(object.strip_prefix(b"{").unwrap_or_default());
            }
        }
        Ok(())
    }
}
