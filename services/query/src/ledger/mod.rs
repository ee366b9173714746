//! The ledger's reads: accounts, postings, the trial balance. Everything comes from the schema `ledger`,
//! which the ledger projector writes.
//!
//! The invariant: totals are exact, however large. They are decimal strings, because a platform's turnover
//! outgrows the integers that JSON readers keep exactly; a single posting is an integer as elsewhere.

mod account;
mod answer;
mod filter;
mod place;
pub(crate) mod postings;

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use sqlx::PgConnection;
use wallex_domain::{Position, Positions};
use wallex_projections::ledger::read;
use wallex_projections::{Name, cursor};
use wallex_runtime::http::{NoParameters, Problem};

use crate::absent::must_be_whole;
use crate::extract::MinPosition;
use crate::position::{Snapshots, contains};
use crate::problem::{self, ReadError};
use crate::routes::{NO_STORE, end};
use crate::state::QueryState;
use account::Account;
use answer::{AccountBody, TrialBalanceBody};

/// How the path or a parameter names an account.
const ACCOUNT: &str = "wallet:UUID, hold:UUID or external:CURRENCY, for example external:EUR";

impl<S: Send + Sync> FromRequestParts<S> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        text.and_then(|Path(text)| Account::parse(&text))
            .ok_or_else(|| problem::invalid_parameter("account", &format!("must be {ACCOUNT}")))
    }
}

/// Reads an account of the ledger with its totals.
#[utoipa::path(
    get,
    path = "/v1/ledger/accounts/{account}",
    tag = "ledger",
    operation_id = "getLedgerAccount",
    params(
        ("account" = String, Path, description = "wallet:UUID, hold:UUID or external:CURRENCY", example = "external:EUR"),
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the ledger contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "The account. Totals are decimal strings: they may be larger than any integer type.", body = AccountBody),
    )
)]
pub(crate) async fn account(
    State(state): State<Arc<QueryState>>,
    account: Account,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<Response, ReadError> {
    let mut snapshot = state.ledger.snapshot(&wanted).await?;
    let name = account.to_string();
    let totals = read::totals(&mut snapshot, &name).await?;
    let stale = stale(&mut snapshot, &account).await?;
    if totals.is_empty() && !stale {
        must_be_whole(&mut snapshot, Name::Ledger).await?;
    }
    end(snapshot).await?;
    if totals.is_empty() {
        return Err(match account {
            // Don't deny it: what would have been posted could not be.
            Account::Wallet(id) if stale => ReadError::WalletParked(id),
            Account::Wallet(_) | Account::Hold(_) | Account::External(_) => ReadError::AccountNotFound(name),
        });
    }
    let body = AccountBody::new(name, totals, stale)?;
    Ok(([NO_STORE], Json(body)).into_response())
}

/// Whether an event of the account's wallet could not be posted, or earlier postings are being posted again.
async fn stale(db: &mut PgConnection, account: &Account) -> Result<bool, ReadError> {
    let parked = match account {
        Account::Wallet(id) => read::parked(db, *id).await?,
        Account::Hold(_) | Account::External(_) => false,
    };
    Ok(parked || cursor::is_being_filled(db, Name::Ledger).await?)
}

/// Sums all accounts by currency and kind. For auditors: it reads every account and may take up to 30 s; a replica makes
/// one at a time and answers others 503.
///
/// It waits up to 2 s for the ledger to have what the journal had when it was asked. One that still lacks events of it, because
/// it is behind or being filled again, is told by `complete: false`, and then `balanced` is false too: nothing is said of
/// what is missing. The currencies are the sums of what is there.
#[utoipa::path(
    get,
    path = "/v1/ledger/trial-balance",
    tag = "ledger",
    operation_id = "getTrialBalance",
    params(
        ("Wallex-Min-Position" = Option<String>, Header, description = "Wait up to 2 s until the ledger contains these positions", example = "3:1042"),
    ),
    responses(
        (status = 200, description = "The trial balance, of one snapshot. Sums are decimal strings.", body = TrialBalanceBody),
    )
)]
pub(crate) async fn trial_balance(
    State(state): State<Arc<QueryState>>,
    _: NoParameters,
    MinPosition(wanted): MinPosition,
) -> Result<Response, Problem> {
    let Ok(alone) = Arc::clone(&state.trial_balances).try_acquire_owned() else {
        return Err(Problem::unavailable(
            "Another trial balance is being made by this replica; ask again.",
        ));
    };
    // In a separate task: the database goes on summing after the client has gone, so the next request must wait for it.
    let summing = tokio::spawn(async move {
        let _alone = alone;
        sum(&state, &wanted).await
    });
    // Joining fails only when the task panicked, which is logged.
    let body = summing.await.map_err(|_| Problem::internal())??;
    Ok(([NO_STORE], Json(body)).into_response())
}

async fn sum(state: &QueryState, wanted: &Positions) -> Result<TrialBalanceBody, ReadError> {
    let (ledger, begin) = (&state.ledger, read::BEGIN_TRIAL_BALANCE);
    let recorded = recorded(&state.journal).await?;
    let mut snapshot = match ledger.reach(begin, &recorded).await {
        // Sum what is there, if the caller's positions allow it.
        Err(ReadError::PositionNotReached { .. }) => ledger.snapshot_by(begin, wanted).await?,
        Ok(level) if wanted.0.is_empty() => level,
        // The caller may know of later events than those.
        Ok(level) => {
            end(level).await?;
            ledger.snapshot_by(begin, wanted).await?
        }
        Err(error) => return Err(error),
    };
    let sums = read::sums(&mut snapshot).await?;
    let stale = read::any_parked(&mut snapshot).await?;
    let mut cursors = ledger.cursors(&mut *snapshot).await?;
    end(snapshot).await?;
    let complete = contains(&cursors.iter().copied().collect(), &recorded);
    cursors.sort_unstable();
    Ok(TrialBalanceBody::new(sums, &positions(cursors), stale, complete)?)
}

/// The last event of each partition of the journal.
async fn recorded(journal: &Snapshots) -> Result<Positions, ReadError> {
    let mut snapshot = journal.snapshot(&Positions::default()).await?;
    let heads = journal.cursors(&mut *snapshot).await?;
    end(snapshot).await?;
    Ok(positions(heads.into_iter().filter(|(_, seq)| *seq > 0)))
}

fn positions(cursors: impl IntoIterator<Item = (i32, i64)>) -> Positions {
    let position = |(partition, seq)| Position::at(partition, seq);
    Positions(cursors.into_iter().map(position).collect())
}
