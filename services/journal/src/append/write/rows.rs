//! Lists of rows as arguments of `journal.append`: one array per column.
//!
//! The invariant: a column's name, type and value are in one line, and arguments are passed by name, so nothing depends
//! on their order.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::{Arguments as _, Type, TypeInfo as _};
use uuid::Uuid;
use wallex_domain::{Hold, Partition, WalletId};

use crate::Event;
use crate::append::state::{Head, Key, LockedPartition, Named, Personal, StoredAnswer};
use crate::packed::pack;
use crate::personal::Sealed;

/// A list of rows as arguments of `journal.append`.
pub(super) trait Rows {
    /// What a row is made from.
    type Of<'a>;

    /// `answers_caller => $3::TEXT[], …`, numbered after `last`.
    fn arguments(last: &mut usize) -> String;

    /// The values of [`Self::arguments`].
    fn add(rows: &[Self::Of<'_>], arguments: &mut PgArguments) -> Result<(), BoxDynError>;
}

/// The next argument, an array.
fn argument<Value>(list: &str, column: &str, last: &mut usize) -> String
where
    Vec<Value>: Type<Postgres>,
{
    *last += 1;
    let array = <Vec<Value> as Type<Postgres>>::type_info();
    format!("{list}_{column} => ${last}::{}", array.name())
}

/// Declares lists by what a row is made from and by its columns, each with type and value.
macro_rules! rows {
    ($($(#[$doc:meta])* $list:ident: $rows:ident<$lifetime:lifetime> of $of:ty: |$row:pat_param| {
        $($column:ident: $value:ty = $get:expr),+ $(,)?
    })+) => {$(
        $(#[$doc])*
        pub(super) struct $rows;

        impl Rows for $rows {
            type Of<$lifetime> = $of;

            fn arguments(last: &mut usize) -> String {
                [$(argument::<$value>(stringify!($list), stringify!($column), last)),+].join(", ")
            }

            #[allow(unused_variables, reason = "a column needs a part of its row")]
            fn add(rows: &[Self::Of<'_>], arguments: &mut PgArguments) -> Result<(), BoxDynError> {
                $(arguments.add(rows.iter().map(|$row| -> $value { $get }).collect::<Vec<$value>>())?;)+
                Ok(())
            }
        }
    )+};
}

rows! {
    /// What a batch was decided on, where nothing is locked yet.
    remembered: Remembered<'a> of (&'a Partition, &'a LockedPartition): |(partition, row)| {
        id: i32 = partition.0,
        last_seq: i64 = row.head.seq,
        head_hash: &[u8] = &row.head.hash.0,
        last_recorded_at: i64 = row.last_recorded_at,
        open: bool = row.open,
    }

    answers: Answers<'a> of (&'a Key, &'a StoredAnswer): |((caller, key), stored)| {
        caller: &str = caller,
        key: &str = key,
        fingerprint: &[u8] = &stored.fingerprint.0,
        // Below 600.
        status: i16 = stored.answer.status as i16,
        packed: Vec<u8> = pack(&stored.answer),
        partition: Option<i32> = stored.partition.map(|partition| partition.0),
    }

    created: CreatedHeads<'a> of &'a Head: |head| {
        wallet_id: Uuid = head.wallet.id.0,
        partition: i32 = head.partition.0,
        version: i64 = head.wallet.version,
        currency: &str = head.wallet.currency.as_str(),
        balance: i64 = head.wallet.balance,
        held: i64 = head.wallet.held,
        overdraft_limit: i64 = head.wallet.overdraft_limit,
        status: &str = head.wallet.status.as_str(),
        external_id: Option<&str> = head.external_id.as_deref(),
    }

    /// `loaded` is the version that is replaced.
    changed: ChangedHeads<'a> of &'a Head: |head| {
        wallet_id: Uuid = head.wallet.id.0,
        loaded: i64 = head.loaded_version,
        version: i64 = head.wallet.version,
        balance: i64 = head.wallet.balance,
        held: i64 = head.wallet.held,
        overdraft_limit: i64 = head.wallet.overdraft_limit,
        status: &str = head.wallet.status.as_str(),
    }

    personal: PersonalData<'a> of &'a (Uuid, WalletId, Partition, Sealed): |(event_id, wallet_id, partition, sealed)| {
        event_id: Uuid = *event_id,
        wallet_id: Uuid = wallet_id.0,
        salt: &[u8] = &sealed.salt,
        data: &[u8] = &sealed.data,
        partition: i32 = partition.0,
    }

    events: Events<'a> of &'a Event: |event| {
        event_id: Uuid = event.event_id,
        transaction_id: Uuid = event.transaction_id,
        partition: i32 = event.partition.0,
        seq: i64 = event.seq,
        wallet_id: Uuid = event.wallet_id.0,
        version: i64 = event.version,
        event_type: &str = &event.event_type,
        schema_version: i16 = event.schema_version,
        recorded_at: i64 = event.recorded_at,
        actor: &str = &event.actor,
        traceparent: Option<&str> = event.traceparent.as_deref(),
        payload: &[u8] = &event.payload,
        hash: &[u8] = &event.hash.0,
    }

    /// Partitions by their last events.
    moved: MovedPartitions<'a> of &'a Event: |last| {
        id: i32 = last.partition.0,
        last_seq: i64 = last.seq,
        head_hash: &[u8] = &last.hash.0,
        last_recorded_at: i64 = last.recorded_at,
    }

    placed: PlacedHolds<'a> of (&'a Hold, Option<Partition>): |(hold, partition)| {
        hold_id: Uuid = hold.id.0,
        wallet_id: Uuid = hold.wallet_id.0,
        amount: i64 = hold.amount,
        expires_at: Option<i64> = hold.expires_at,
        status: &str = hold.status.as_str(),
        partition: Option<i32> = partition.map(|partition| partition.0),
    }

    holds: ChangedHolds<'a> of &'a Hold: |hold| {
        hold_id: Uuid = hold.id.0,
        expires_at: Option<i64> = hold.expires_at,
        status: &str = hold.status.as_str(),
    }

    reversed: Reversed<'a> of (Uuid, i64, Option<Partition>): |(transaction_id, amount, partition)| {
        transaction_id: Uuid = *transaction_id,
        amount: i64 = *amount,
        partition: Option<i32> = partition.map(|partition| partition.0),
    }

    details: DetailVersions<'a> of (WalletId, [i64; 3]): |(wallet_id, [owner, description, metadata])| {
        wallet_id: Uuid = wallet_id.0,
        owner: i64 = *owner,
        description: i64 = *description,
        metadata: i64 = *metadata,
    }

    erasures: Erasures<'a> of (Uuid, WalletId, i64): |(event_id, wallet_id, version)| {
        event_id: Uuid = *event_id,
        wallet_id: Uuid = wallet_id.0,
        version: i64 = *version,
    }

    movements: Movements<'a> of (&'a String, &'a Named): |(external_id, named)| {
        external_id: &str = external_id,
        transaction_id: Uuid = named.transaction_id,
        event_id: Uuid = named.event_id,
        content: &[u8] = &named.content.0,
        has_personal: bool = named.personal != Personal::Nothing,
        status: i16 = named.answer.status as i16,
        packed: Vec<u8> = pack(&named.answer),
    }
}
