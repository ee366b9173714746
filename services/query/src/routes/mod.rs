//! The read routes: parse, read from one snapshot, answer. Lists and exports of the ledger, the audit trail and live
//! updates have their own modules.

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

/// Returns the connection to the pool, clean, before the answer is written out.
pub(crate) async fn end(snapshot: Transaction) -> Result<(), ReadError> {
    Ok(snapshot.commit().await?)
}

/// Cuts rows that were read one beyond the page down to the page. Returns the page's last row if there are more after it;
/// this way no counting is needed.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: i64) -> Option<&T> {
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > length;
    rows.truncate(length);
    rows.last().filter(|_| more)
}

/// The rows as answer bodies; fails if one of them cannot be expressed.
pub(crate) fn bodies<R, B>(rows: Vec<R>) -> Result<Vec<B>, ReadError>
where
    B: TryFrom<R, Error = Unreadable>,
{
    Ok(rows.into_iter().map(B::try_from).collect::<Result<_, _>>()?)
}
