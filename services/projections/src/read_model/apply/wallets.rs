//! A row per wallet, with its state after its last event.
//!
//! The invariant: a row is only updated if it is at the version before its events.

use std::collections::{BTreeMap, HashMap};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{FromRow as _, PgConnection, Postgres};
use uuid::Uuid;
use wallex_domain::{Created, Effect, Status};
use wallex_postgres::column;

use super::entries::{description, metadata};
use crate::projection::{ApplyError, Projected, partitions};

const NEW_WALLETS: &str = "
INSERT INTO read_model.wallet
       (wallet_id, partition, seq, version, balance, updated_at, held, overdraft_limit, status, external_id,
        currency, owner, description, metadata, created_at)
SELECT wallet_id, partition, seq, version, balance, updated_at, held, coalesce(overdraft_limit, 0), status,
       external_id, currency, owner, description, metadata::jsonb, created_at
  FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
              $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[])
       AS new (wallet_id, partition, seq, version, balance, updated_at, held, overdraft_limit, status, external_id,
               currency, owner, description, metadata, created_at)";

// The transaction disables sequential scans and hash joins, so this finds each wallet by its key (see
// projection::BEGIN).
const WALLETS: &str = "
UPDATE read_model.wallet w
   SET partition = new.partition, seq = new.seq, version = new.version, balance = new.balance,
       updated_at = new.updated_at, held = w.held + new.held_change,
       overdraft_limit = coalesce(new.overdraft_limit, w.overdraft_limit), status = coalesce(new.status, w.status),
       owner = CASE WHEN new.says_owner THEN new.owner ELSE w.owner END,
       description = CASE WHEN new.says_description THEN new.description ELSE w.description END,
       metadata = CASE WHEN new.says_metadata THEN new.metadata::jsonb ELSE w.metadata END
  FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
              $8::bigint[], $9::text[], $10::bigint[], $11::bool[], $12::text[], $13::bool[], $14::text[],
              $15::bool[], $16::text[])
       AS new (wallet_id, partition, seq, version, balance, updated_at, held_change, overdraft_limit, status,
               version_before, says_owner, owner, says_description, description, says_metadata, metadata)
 WHERE w.wallet_id = new.wallet_id AND w.version = new.version_before
RETURNING w.wallet_id, w.held - new.held_change";

/// What a batch does to one wallet.
struct Change<'a> {
    created: Option<(&'a Projected, &'a Created)>,
    version_before: i64,
    last: &'a Projected,
    held: i64,
    /// As set by the batch's last event that sets it; likewise the status.
    overdraft_limit: Option<i64>,
    status: Option<Status>,
    said: Said,
}

/// What the batch sets a wallet's owner, description and metadata to; `None` leaves them unchanged.
#[derive(Default)]
struct Said {
    owner: Option<Option<String>>,
    description: Option<Option<String>>,
    metadata: Option<Option<String>>,
}

impl Said {
    fn apply(&mut self, projected: &Projected) {
        let Effect { details, erases, .. } = projected.data.effect();
        if erases {
            *self = Self {
                owner: Some(None),
                description: Some(None),
                metadata: Some(None),
            };
        }
        if details.owner {
            self.owner = Some(owner(projected));
        }
        if details.description {
            self.description = Some(description(projected));
        }
        if details.metadata {
            self.metadata = Some(metadata(projected));
        }
    }
}

/// By wallet id, so that rows are always locked in the same order.
fn changes(events: &[Projected]) -> BTreeMap<Uuid, Change<'_>> {
    let mut changes: BTreeMap<Uuid, Change<'_>> = BTreeMap::new();
    for projected in events {
        let change = changes
            .entry(projected.event.wallet_id.0)
            .or_insert_with(|| Change {
                created: None,
                version_before: projected.event.version - 1,
                last: projected,
                held: 0,
                overdraft_limit: None,
                status: None,
                said: Said::default(),
            });
        change.last = projected;
        if let Some(created) = projected.data.created() {
            change.created = Some((projected, created));
        }
        let effect = projected.data.effect();
        change.held = change.held.saturating_add(effect.held);
        change.overdraft_limit = effect.overdraft_limit.or(change.overdraft_limit);
        change.status = effect.status.or(change.status);
        change.said.apply(projected);
    }
    changes
}

/// Writes the wallets of `events`, and returns the held money of each before them.
pub(super) async fn write(
    db: &mut PgConnection,
    events: &[Projected],
) -> Result<HashMap<Uuid, i64>, ApplyError> {
    let changes = changes(events);
    let (new, known): (Vec<&Change<'_>>, Vec<&Change<'_>>) =
        changes.values().partition(|change| change.created.is_some());
    let mut held_before = HashMap::with_capacity(changes.len());
    if !new.is_empty() {
        insert(db, &new).await?;
        held_before.extend(new.iter().map(|change| (change.last.event.wallet_id.0, 0)));
    }
    if !known.is_empty() {
        let updated = update(db, &known).await?;
        if updated.len() != known.len() {
            return Err(ApplyError::Inconsistent {
                what: format!(
                    "{} of {} wallets are not at the version before their events (partitions {:?}): the read \
                     model must be rebuilt",
                    known.len().saturating_sub(updated.len()),
                    known.len(),
                    partitions(events)
                ),
            });
        }
        held_before.extend(updated);
    }
    Ok(held_before)
}

/// The columns that both statements begin with.
fn states<'q>(statement: &'static str, changes: &[&'q Change<'_>]) -> Query<'q, Postgres, PgArguments> {
    let last = || changes.iter().map(|change| change.last);
    sqlx::query(statement)
        .bind(column(last(), |p| p.event.wallet_id.0))
        .bind(column(last(), |p| p.event.partition.0))
        .bind(column(last(), |p| p.event.seq))
        .bind(column(last(), |p| p.event.version))
        .bind(column(last(), |p| p.data.balance()))
        .bind(column(last(), |p| p.event.recorded_at))
        .bind(column(changes, |change| change.held))
        .bind(column(changes, |change| change.overdraft_limit))
        .bind(column(changes, |change| change.status.map(Status::as_str)))
}

async fn insert(db: &mut PgConnection, new: &[&Change<'_>]) -> sqlx::Result<()> {
    let created = || new.iter().filter_map(|change| change.created);
    let said = || new.iter().map(|change| &change.said);
    states(NEW_WALLETS, new)
        .bind(column(created(), |(_, data)| data.external_id.as_deref()))
        .bind(column(created(), |(_, data)| data.currency.as_str()))
        .bind(column(said(), |said| said.owner.as_ref()?.as_deref()))
        .bind(column(said(), |said| said.description.as_ref()?.as_deref()))
        .bind(column(said(), |said| said.metadata.as_ref()?.as_deref()))
        .bind(column(created(), |(p, _)| p.event.recorded_at))
        .execute(db)
        .await?;
    Ok(())
}

/// Moves the wallets that are where their events begin; returns their ids and their held money before.
async fn update(db: &mut PgConnection, known: &[&Change<'_>]) -> sqlx::Result<Vec<(Uuid, i64)>> {
    let said = || known.iter().map(|change| &change.said);
    states(WALLETS, known)
        .bind(column(known, |change| change.version_before))
        .bind(column(said(), |said| said.owner.is_some()))
        .bind(column(said(), |said| said.owner.as_ref()?.as_deref()))
        .bind(column(said(), |said| said.description.is_some()))
        .bind(column(said(), |said| said.description.as_ref()?.as_deref()))
        .bind(column(said(), |said| said.metadata.is_some()))
        .bind(column(said(), |said| said.metadata.as_ref()?.as_deref()))
        .try_map(|row| <(Uuid, i64)>::from_row(&row))
        .fetch_all(db)
        .await
}

fn owner(projected: &Projected) -> Option<String> {
    projected.personal.as_ref().and_then(|data| data.owner.clone())
}
