//! Rows of the journal as this build reads them.

use std::sync::Arc;

use sqlx::{FromRow as _, Row as _, postgres::PgRow};
use wallex_domain::{Hold, HoldId, HoldStatus, Mark, Partition, Status, Wallet, WalletId};

use crate::append::request::Answer;
use crate::append::state::{Head, Key, LockedPartition, Named, Personal, StoredAnswer};
use crate::read::hash_column;

pub(super) fn hold_from_row(row: &PgRow) -> Result<Hold, sqlx::Error> {
    let status: &str = row.try_get("status")?;
    Ok(Hold {
        id: HoldId(row.try_get("hold_id")?),
        wallet_id: WalletId(row.try_get("wallet_id")?),
        amount: row.try_get("amount")?,
        expires_at: row.try_get("expires_at")?,
        status: HoldStatus::parse(status).ok_or_else(|| unreadable("status", status))?,
    })
}

fn unreadable(column: &str, value: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{value:?} is unknown to this build").into(),
    }
}

pub(super) fn head_from_row(row: &PgRow) -> Result<Head, sqlx::Error> {
    let currency: String = row.try_get("currency")?;
    let status: String = row.try_get("status")?;
    let version = row.try_get("version")?;
    Ok(Head {
        wallet: Wallet {
            id: WalletId(row.try_get("wallet_id")?),
            currency: currency.parse().map_err(|_| unreadable("currency", &currency))?,
            balance: row.try_get("balance")?,
            held: row.try_get("held")?,
            overdraft_limit: row.try_get("overdraft_limit")?,
            status: Status::parse(&status).ok_or_else(|| unreadable("status", &status))?,
            version,
        },
        partition: Partition(row.try_get("partition")?),
        external_id: row.try_get("external_id")?,
        loaded_version: version,
    })
}

pub(super) fn partition_from_row(row: &PgRow) -> Result<LockedPartition, sqlx::Error> {
    Ok(LockedPartition {
        head: Mark {
            seq: row.try_get("last_seq")?,
            hash: hash_column(row, "head_hash")?,
        },
        last_recorded_at: row.try_get("last_recorded_at")?,
        open: row.try_get("open")?,
    })
}

pub(super) fn answer_from_row(row: &PgRow) -> Result<(Key, StoredAnswer), sqlx::Error> {
    let key: Key = (
        Arc::from(row.try_get::<&str, _>("caller")?),
        Arc::from(row.try_get::<&str, _>("key")?),
    );
    Ok((
        key,
        StoredAnswer {
            fingerprint: hash_column(row, "fingerprint")?,
            answer: Answer::from_row(row)?,
            partition: None,
        },
    ))
}

pub(super) fn named_from_row(row: &PgRow) -> Result<(String, Named), sqlx::Error> {
    let personal = match (
        row.try_get("has_personal")?,
        row.try_get::<Option<Vec<u8>>, _>("data")?,
    ) {
        (false, _) => Personal::Nothing,
        (true, Some(data)) => Personal::Kept(data.into()),
        (true, None) => Personal::Erased,
    };
    let named = Named {
        transaction_id: row.try_get("transaction_id")?,
        event_id: row.try_get("event_id")?,
        content: hash_column(row, "content")?,
        personal,
        answer: Answer::from_row(row)?,
        new: false,
    };
    Ok((row.try_get("external_id")?, named))
}
