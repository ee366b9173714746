//! Before it is denied that there is something: it may only be missing for now, because the projection could not apply an
//! event, or is being filled again.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_projections::{Name, cursor};

use crate::problem::ReadError;
use crate::statement;

/// An error while what is missing may only be missing for now.
pub(crate) async fn must_be_whole(db: &mut PgConnection, projection: Name) -> Result<(), ReadError> {
    if cursor::is_being_filled(db, projection).await? {
        Err(ReadError::BeingFilled(projection))
    } else {
        Ok(())
    }
}

/// Why there is no row for the wallet: unknown, not there again yet, or its very first event is parked.
pub(crate) async fn missing_wallet(snapshot: &mut PgConnection, id: Uuid) -> ReadError {
    match statement::parked(snapshot, id).await {
        Ok(false) => match must_be_whole(snapshot, Name::ReadModel).await {
            Ok(()) => ReadError::WalletNotFound(id),
            Err(error) => error,
        },
        Ok(true) => ReadError::WalletParked(id),
        Err(error) => error,
    }
}
