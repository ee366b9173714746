//! The read model: a row per wallet with its last state, and a row per event with the balance after it.
//!
//! The invariant: a wallet's row moves from version n to n + k only by k events that begin at n + 1. A row
//! that is elsewhere stops the partition instead of being overwritten.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventData, EventKind, PersonalData, Status};

use super::{ApplyError, Projected, Projection, partitions};

pub struct ReadModel;

const ENTRIES: &str = "
INSERT INTO read_model.entry
       (wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
        counterparty, reference, description, metadata, recorded_at)
SELECT wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
       counterparty, reference, description, metadata::jsonb, recorded_at
  FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[], $8::bigint[],
              $9::text[], $10::bigint[], $11::uuid[], $12::text[], $13::text[], $14::text[], $15::bigint[])
       AS new (wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency, balance_after,
               counterparty, reference, description, metadata, recorded_at)";

const NEW_WALLETS: &str = "
INSERT INTO read_model.wallet
       (wallet_id, partition, seq, version, balance, updated_at, external_id, currency, held, overdraft_limit,
        status, owner, description, metadata, created_at)
SELECT wallet_id, partition, seq, version, balance, updated_at, external_id, currency, 0, 0, $13, owner,
       description, metadata::jsonb, created_at
  FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
              $9::text[], $10::text[], $11::text[], $12::bigint[])
       AS new (wallet_id, partition, seq, version, balance, updated_at, external_id, currency, owner, description,
               metadata, created_at)";

// The transaction forbids sequential scans and hash joins: this finds each wallet by its key (see applier::BEGIN).
const WALLETS: &str = "
UPDATE read_model.wallet w
   SET partition = new.partition, seq = new.seq, version = new.version, balance = new.balance,
       updated_at = new.updated_at
  FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
       AS new (wallet_id, partition, seq, version, balance, updated_at, version_before)
 WHERE w.wallet_id = new.wallet_id AND w.version = new.version_before";

/// What a batch does to one wallet.
struct Change<'a> {
    created: Option<&'a Projected>,
    version_before: i64,
    last: &'a Projected,
}

impl Projection for ReadModel {
    const NAME: &'static str = "read-model";
    const SCHEMA: &'static str = "read_model";
    const WANTS_PERSONAL_DATA: bool = true;

    async fn apply(&self, db: &mut PgConnection, events: &[Projected]) -> Result<(), ApplyError> {
        // By wallet id, so that rows are locked in one order.
        let mut changes: BTreeMap<Uuid, Change<'_>> = BTreeMap::new();
        for projected in events {
            let change = changes
                .entry(projected.event.wallet_id.0)
                .or_insert_with(|| Change {
                    created: None,
                    version_before: projected.event.version - 1,
                    last: projected,
                });
            change.last = projected;
            if matches!(projected.data, EventData::WalletCreated(_)) {
                change.created = Some(projected);
            }
        }
        let (new, known): (Vec<&Change<'_>>, Vec<&Change<'_>>) =
            changes.values().partition(|change| change.created.is_some());
        if !new.is_empty() {
            insert_wallets(db, &new).await?;
        }
        if !known.is_empty() {
            let updated = update_wallets(db, &known).await?;
            if updated != known.len() as u64 {
                return Err(ApplyError::Inconsistent {
                    what: format!(
                        "{} of {} wallets are not at the version before their events (partitions {:?}): the read \
                         model must be rebuilt",
                        known.len() as u64 - updated,
                        known.len(),
                        partitions(events)
                    ),
                });
            }
        }
        insert_entries(db, events).await?;
        Ok(())
    }
}

async fn insert_wallets(db: &mut PgConnection, new: &[&Change<'_>]) -> Result<(), sqlx::Error> {
    let last = || new.iter().map(|change| change.last);
    let created = || new.iter().filter_map(|change| change.created);
    let external_id = |projected: &Projected| match &projected.data {
        EventData::WalletCreated(created) => created.external_id.clone(),
        EventData::WalletCredited(_)
        | EventData::WalletDebited(_)
        | EventData::TransferDebited(_)
        | EventData::TransferCredited(_) => None,
    };
    sqlx::query(NEW_WALLETS)
        .bind(last().map(|p| p.event.wallet_id.0).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.partition.0).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.seq).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.version).collect::<Vec<_>>())
        .bind(last().map(|p| p.data.balance()).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.recorded_at).collect::<Vec<_>>())
        .bind(created().map(external_id).collect::<Vec<_>>())
        .bind(
            created()
                .map(|p| p.data.currency().as_str().to_owned())
                .collect::<Vec<_>>(),
        )
        .bind(
            created()
                .map(|p| personal(p, |data| data.owner.clone()))
                .collect::<Vec<_>>(),
        )
        .bind(created().map(description).collect::<Vec<_>>())
        .bind(created().map(metadata).collect::<Vec<_>>())
        .bind(created().map(|p| p.event.recorded_at).collect::<Vec<_>>())
        .bind(Status::Active.as_str())
        .execute(db)
        .await?;
    Ok(())
}

async fn update_wallets(db: &mut PgConnection, known: &[&Change<'_>]) -> Result<u64, sqlx::Error> {
    let last = || known.iter().map(|change| change.last);
    let done = sqlx::query(WALLETS)
        .bind(last().map(|p| p.event.wallet_id.0).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.partition.0).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.seq).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.version).collect::<Vec<_>>())
        .bind(last().map(|p| p.data.balance()).collect::<Vec<_>>())
        .bind(last().map(|p| p.event.recorded_at).collect::<Vec<_>>())
        .bind(
            known
                .iter()
                .map(|change| change.version_before)
                .collect::<Vec<_>>(),
        )
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

async fn insert_entries(db: &mut PgConnection, events: &[Projected]) -> Result<(), sqlx::Error> {
    sqlx::query(ENTRIES)
        .bind(events.iter().map(|p| p.event.wallet_id.0).collect::<Vec<_>>())
        .bind(events.iter().map(|p| p.event.version).collect::<Vec<_>>())
        .bind(events.iter().map(|p| p.event.partition.0).collect::<Vec<_>>())
        .bind(events.iter().map(|p| p.event.seq).collect::<Vec<_>>())
        .bind(events.iter().map(|p| p.event.event_id).collect::<Vec<_>>())
        .bind(events.iter().map(|p| p.event.transaction_id).collect::<Vec<_>>())
        .bind(
            events
                .iter()
                .map(|p| entry_type(p.data.kind()))
                .collect::<Vec<_>>(),
        )
        .bind(events.iter().map(|p| p.data.balance_change()).collect::<Vec<_>>())
        .bind(
            events
                .iter()
                .map(|p| p.data.currency().as_str().to_owned())
                .collect::<Vec<_>>(),
        )
        .bind(events.iter().map(|p| p.data.balance()).collect::<Vec<_>>())
        .bind(
            events
                .iter()
                .map(|p| p.data.counterparty().map(|id| id.0))
                .collect::<Vec<_>>(),
        )
        .bind(events.iter().map(|p| p.data.reference()).collect::<Vec<_>>())
        .bind(events.iter().map(description).collect::<Vec<_>>())
        .bind(events.iter().map(metadata).collect::<Vec<_>>())
        .bind(events.iter().map(|p| p.event.recorded_at).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// The `type` column of an entry.
fn entry_type(kind: EventKind) -> &'static str {
    match kind {
        EventKind::WalletCreated => "create",
        EventKind::WalletCredited => "credit",
        EventKind::WalletDebited => "debit",
        EventKind::TransferDebited => "transfer_out",
        EventKind::TransferCredited => "transfer_in",
    }
}

fn personal<T>(projected: &Projected, get: impl FnOnce(&PersonalData) -> Option<T>) -> Option<T> {
    projected.personal.as_ref().and_then(get)
}

fn description(projected: &Projected) -> Option<String> {
    personal(projected, |data| data.description.clone())
}

/// As JSON text.
fn metadata(projected: &Projected) -> Option<String> {
    personal(projected, |data| {
        data.metadata
            .as_ref()
            .and_then(|metadata| serde_json::to_string(metadata).ok())
    })
}
