//! Unpaged lists: all rows of a filter as one stream, NDJSON or CSV. Used by histories, statements and the
//! ledger's postings; knows none of them.
//!
//! Three invariants. An export holds one chunk of rows and no connection while its client reads. A process runs a
//! bounded number of exports, so that clients that do not read cannot fill its memory. And an export that cannot be
//! finished breaks its connection, so that nobody mistakes a part for the whole.

mod accept;
mod csv;
mod json;

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt as _};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wallex_runtime::http::headers::STALE;
use wallex_runtime::metrics::{self, IntCounter};

use crate::problem::ReadError;
pub(crate) use accept::{Format, Table};
pub(crate) use csv::{Cell, Csv};
pub(crate) use json::Ndjson;

/// Maximum number of rows in a chunk. With the largest metadata that is 3.2 MB, if all earlier rows were small.
const MOST_ROWS: i64 = 200;
const FEWEST_ROWS: i64 = 8;
/// Rows in the first chunk, while their size is unknown.
const FIRST_ROWS: i64 = 32;
/// Target size of a chunk in bytes: it stays in memory until the client has taken it.
const CHUNK: usize = 128 * 1024;

/// The last row of a full chunk, after which there may be more; `None` if the chunk is not full.
pub(crate) fn last_of_full<T>(rows: &[T], limit: i64) -> Option<&T> {
    let full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    rows.last().filter(|_| full)
}

/// The number of rows in the next chunk, by the size of the rows in the last one.
fn next_limit(limit: i64, bytes: usize) -> i64 {
    let fitting = i64::try_from(CHUNK / bytes.max(1).div_ceil(usize::try_from(limit).unwrap_or(1)))
        .unwrap_or(MOST_ROWS);
    fitting.min(2 * limit).clamp(FEWEST_ROWS, MOST_ROWS)
}

/// The exports that this process may run. Clones share them.
#[derive(Clone)]
pub(crate) struct Exports(Arc<Semaphore>);

impl Exports {
    pub(crate) fn at_most(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
    }

    fn take_turn(&self) -> Result<OwnedSemaphorePermit, ReadError> {
        let turn = Arc::clone(&self.0).try_acquire_owned();
        turn.map_err(|_| ReadError::TooManyExports)
    }
}

/// Exports of this process that may read at the same time; the other connections are for all other reads.
static READING: Semaphore = Semaphore::const_new(2);

pub(crate) static BROKEN: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(
        "wallex_query_exports_broken_total",
        "Exports that broke off after they had begun; the log says why. Clients see an incomplete answer and ask again.",
    )
});

/// The source of an export's rows.
pub(crate) trait Rows: Send + 'static {
    type Row: Send;

    /// The next rows, about `limit`, read in a short snapshot of their own; none at the end.
    fn next(&mut self, limit: i64) -> impl Future<Output = Result<Vec<Self::Row>, ReadError>> + Send;
}

/// How rows become bytes.
pub(crate) trait Encode<Row>: Send + 'static {
    /// What precedes the first row.
    fn begin(&mut self, _out: &mut Vec<u8>) -> Result<(), ReadError> {
        Ok(())
    }

    fn row(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<(), ReadError>;
}

/// A row of a table: its JSON object is a line of NDJSON, its cells are a line of CSV.
pub(crate) trait Record: serde::Serialize {
    fn columns() -> Vec<&'static str>;

    /// One per column.
    fn cells(&self) -> Vec<Cell<'_>>;
}

/// Answers with all rows as a file. A failure before the first chunk is answered with a problem. `stale`: rows
/// may be missing, because an event could not be projected.
pub(crate) async fn table<R>(
    exports: &Exports,
    table: Table,
    name: &str,
    stale: bool,
    rows: R,
) -> Result<Response, ReadError>
where
    R: Rows,
    R::Row: Record,
{
    let body = match table {
        Table::Ndjson => body(exports, rows, Ndjson).await?,
        Table::Csv => body(exports, rows, Csv).await?,
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

/// A body that reads each chunk once the client has taken the previous one.
pub(crate) async fn body<R: Rows>(
    exports: &Exports,
    rows: R,
    encode: impl Encode<R::Row>,
) -> Result<Body, ReadError> {
    let mut export = Export {
        rows,
        encode,
        limit: FIRST_ROWS,
        _turn: exports.take_turn()?,
    };
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
    /// Rows in the next chunk.
    limit: i64,
    /// One of [`Exports`], held until the last chunk is made or the client is gone.
    _turn: OwnedSemaphorePermit,
}

impl<R: Rows, E: Encode<R::Row>> Export<R, E> {
    /// Adds the next chunk to `out`; false at the end.
    async fn chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, ReadError> {
        let rows = {
            // Never closed.
            let _turn = READING.acquire().await;
            self.rows.next(self.limit).await?
        };
        for row in &rows {
            self.encode.row(row, out)?;
        }
        self.limit = next_limit(self.limit, out.len());
        Ok(!rows.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_while_rows_are_small_and_shrink_at_once() {
        let mut limit = FIRST_ROWS;
        for _ in 0..4 {
            limit = next_limit(limit, usize::try_from(limit).unwrap_or(0) * 400);
        }
        assert_eq!(limit, MOST_ROWS);
        // Rows of 16 KiB, the largest.
        assert_eq!(next_limit(MOST_ROWS, 200 * 16 * 1024), FEWEST_ROWS);
        assert_eq!(next_limit(FEWEST_ROWS, 0), 2 * FEWEST_ROWS);
        assert_eq!(next_limit(FIRST_ROWS, usize::MAX), FEWEST_ROWS);
    }
}
