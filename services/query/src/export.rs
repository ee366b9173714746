//! Lists without an end: all rows of a filter as one stream, NDJSON or CSV. Used by histories, statements and the
//! ledger's postings; knows none of them.
//!
//! Two invariants: an export holds one chunk of rows and no connection while its client reads, and one that cannot be
//! finished breaks its connection off, so that nobody takes a part for the whole.

mod accept;
mod csv;
mod json;

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt as _};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, VARY};
use tokio::sync::Semaphore;
use wallex_platform::metrics::{self, IntCounter};

use crate::problem::ReadError;
pub(crate) use accept::{Format, Table};
pub(crate) use csv::{Cell, Csv};
pub(crate) use json::Ndjson;

/// Rows that one chunk should have. With the largest metadata that is 8 MB, usually 200 kB.
pub(crate) const CHUNK: i64 = 500;

/// The last row of a whole [`CHUNK`]: there may be more after it. `None` when there are not.
pub(crate) fn last_of_full<T>(rows: &[T]) -> Option<&T> {
    let full = i64::try_from(rows.len()).is_ok_and(|count| count >= CHUNK);
    rows.last().filter(|_| full)
}

/// What JSON says by `stale`.
const STALE: HeaderName = HeaderName::from_static("wallex-stale");

/// Exports of this process that read at the same time; the other connections are for everybody else.
static READING: Semaphore = Semaphore::const_new(2);

pub(crate) static BROKEN: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(
        "wallex_query_exports_broken_total",
        "Exports that broke off after they had begun; the log says why. Clients see an incomplete answer and ask again.",
    )
});

/// Where an export's rows come from.
pub(crate) trait Rows: Send + 'static {
    type Row: Send;

    /// The next rows, about [`CHUNK`], read in a short snapshot of their own; none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Self::Row>, ReadError>> + Send;
}

/// How rows become bytes.
pub(crate) trait Encode<Row>: Send + 'static {
    /// What stands before the first row.
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<(), ReadError> {
        Ok(())
    }

    fn row(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<(), ReadError>;
}

/// A row of a table: its JSON object is a line of NDJSON, its cells are a line of CSV.
pub(crate) trait Record: serde::Serialize {
    fn columns() -> Vec<&'static str>;

    /// As many as there are columns.
    fn cells(&self) -> Vec<Cell<'_>>;
}

/// Answers with all rows as a file. What fails before the first chunk is there is a problem of its own. `stale`: rows
/// may be missing, because an event could not be projected.
pub(crate) async fn table<R>(table: Table, name: &str, stale: bool, rows: R) -> Result<Response, ReadError>
where
    R: Rows,
    R::Row: Record,
{
    let body = match table {
        Table::Ndjson => body(rows, Ndjson).await?,
        Table::Csv => body(rows, Csv).await?,
    };
    let headers = [
        (CONTENT_TYPE, table.content_type().to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.{}\"", table.extension()),
        ),
        (CACHE_CONTROL, "no-store".to_owned()),
        (VARY, "accept".to_owned()),
    ];
    let mut response = (headers, body).into_response();
    if stale {
        response
            .headers_mut()
            .insert(STALE, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A body that reads one chunk after the other, when the client has taken the one before.
pub(crate) async fn body<R: Rows>(rows: R, encode: impl Encode<R::Row>) -> Result<Body, ReadError> {
    let mut export = Export { rows, encode };
    let mut first = Vec::new();
    export.encode.begin(&mut first)?;
    let more = export.chunk(&mut first).await?;
    let rest = stream::unfold(more.then_some(export), |export| async {
        let mut export = export?;
        let mut out = Vec::new();
        match export.chunk(&mut out).await {
            Ok(true) => Some((Ok(out), Some(export))),
            Ok(false) => None,
            Err(error) => {
                BROKEN.inc();
                tracing::warn!(%error, "an export broke off");
                Some((Err(error), None))
            }
        }
    });
    let first = stream::once(async { Ok::<_, ReadError>(first) });
    Ok(Body::from_stream(first.chain(rest)))
}

struct Export<R, E> {
    rows: R,
    encode: E,
}

impl<R: Rows, E: Encode<R::Row>> Export<R, E> {
    /// Adds the next chunk to `out`; false at the end.
    async fn chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        let rows = {
            // Never closed.
            let _turn = READING.acquire().await;
            self.rows.next().await?
        };
        for row in &rows {
            self.encode.row(row, out)?;
        }
        Ok(!rows.is_empty())
    }
}
