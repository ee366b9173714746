//! The read routes: parse, read from one snapshot, answer. Lists and exports of the ledger, the audit trail and live
//! updates have modules of their own.

pub(crate) mod currencies;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod period;
pub(crate) mod projections;
pub(crate) mod transactions;
pub(crate) mod wallets;

use http::header::CACHE_CONTROL;
use wallex_postgres::Transaction;

use crate::answer::Unreadable;
use crate::problem::ReadError;

/// Balances change at any moment: no cache on the way may keep one.
pub(crate) const NO_STORE: (http::HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// Gives the connection back clean, before the answer is written out.
pub(crate) async fn end(snapshot: Transaction) -> Result<(), ReadError> {
    Ok(snapshot.commit().await?)
}

/// Cuts what was read one row longer than the page to the page. The page's last row when there are more after it, which
/// is known so without counting.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: i64) -> Option<&T> {
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > length;
    rows.truncate(length);
    rows.last().filter(|_| more)
}

/// The rows as they are answered, unless one of them cannot be.
pub(crate) fn bodies<R, B>(rows: Vec<R>) -> Result<Vec<B>, ReadError>
where
    B: TryFrom<R, Error = Unreadable>,
{
    Ok(rows.into_iter().map(B::try_from).collect::<Result<_, _>>()?)
}
