//! Checks before answering that something does not exist: it may only be missing for now, because the projection could
//! not apply an event, or is being refilled.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_projections::read_model::read::{history, parked};
use wallex_projections::{Name, cursor};

use crate::problem::ReadError;

/// Fails while missing rows may only be missing for now.
pub(crate) async fn must_be_whole(db: &mut PgConnection, projection: Name) -> Result<(), ReadError> {
    if cursor::is_being_filled(db, projection).await? {
        Err(ReadError::BeingFilled(projection))
    } else {
        Ok(())
    }
}

/// Why there is no row for the wallet: unknown, not refilled yet, or its very first event is parked.
pub(crate) async fn missing_wallet(snapshot: &mut PgConnection, id: Uuid) -> ReadError {
    match parked::wallet(snapshot, id).await {
        Ok(false) => match must_be_whole(snapshot, Name::ReadModel).await {
            Ok(()) => ReadError::WalletNotFound(id),
            Err(error) => error,
        },
        Ok(true) => ReadError::WalletParked(id),
        Err(error) => error.into(),
    }
}

/// Fails while a transaction that was not found may be parked.
pub(crate) async fn transaction_must_not_be_parked(db: &mut PgConnection, id: Uuid) -> Result<(), ReadError> {
    if parked::transaction(db, id).await? {
        Err(ReadError::MayBeParked("transaction"))
    } else {
        Ok(())
    }
}

/// Fails while a `what` that was not found may be parked: of parked events only wallet and transaction are known.
pub(crate) async fn nothing_must_be_parked(
    db: &mut PgConnection,
    what: &'static str,
) -> Result<(), ReadError> {
    if parked::anything(db).await? {
        Err(ReadError::MayBeParked(what))
    } else {
        Ok(())
    }
}

/// Fails unless the wallet is at version `last` or later: a read model that is being rebuilt must get there again, and
/// until then it lacks entries that an export has promised.
pub(crate) async fn must_still_have(db: &mut PgConnection, wallet: Uuid, last: i64) -> Result<(), ReadError> {
    let version = history::version(db, wallet).await?;
    if version.is_some_and(|version| version >= last) {
        Ok(())
    } else {
        Err(ReadError::WentBack(wallet))
    }
}
