//! The ledger: what each event moves between accounts, as postings, and totals per account.
//!
//! Accounts are `wallet:<id>`, `hold:<id>` and `external:<currency>`, so a wallet's account holds what is available.
//! The invariant: a posting takes from one account what it gives to another, and totals move with postings, so the
//! totals of a currency sum to zero at all times. A movement between wallets is derived from the payer's event; the
//! other event only moves the cursor.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use wallex_domain::{Currency, HoldId, WalletId};
use wallex_journal::Event;
use wallex_postgres::column;

use crate::projection::{ApplyError, Projected, Projection};
use crate::registry::Name;

pub struct Ledger;

const POSTINGS: &str = "
INSERT INTO ledger.posting
       (partition, seq, line, transaction_id, source, destination, amount, currency, recorded_at)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::smallint[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
                     $8::text[], $9::bigint[])";

// Amounts are passed as text: a batch's sum may be larger than a bigint.
const TOTALS: &str = "
INSERT INTO ledger.account_total AS total (account, currency, partition, debits, credits)
SELECT account, currency, partition, debits::numeric, credits::numeric
  FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[])
       AS new (account, currency, partition, debits, credits)
ON CONFLICT (account, currency, partition) DO UPDATE
   SET debits = total.debits + excluded.debits, credits = total.credits + excluded.credits";

pub(crate) struct Posting<'a> {
    pub(crate) from: &'a Projected,
    pub(crate) line: i16,
    pub(crate) movement: Movement,
    pub(crate) currency: Currency,
}

/// A transfer from one account to another.
pub(crate) struct Movement {
    pub(crate) source: String,
    pub(crate) destination: String,
    /// Minor units.
    pub(crate) amount: i64,
}

/// What left an account and what was added to it, in minor units.
#[derive(Default)]
struct Turnover {
    debits: i128,
    credits: i128,
}

fn wallet(id: WalletId) -> String {
    format!("wallet:{id}")
}

fn hold(id: HoldId) -> String {
    format!("hold:{id}")
}

fn external(currency: Currency) -> String {
    format!("external:{}", currency.as_str())
}

/// The postings of an event, by line; only those that move something.
pub(crate) fn postings(projected: &Projected) -> impl Iterator<Item = Posting<'_>> {
    let currency = projected.data.currency();
    (1..)
        .zip(movements(projected, currency))
        .filter_map(move |(line, movement)| {
            Some(Posting {
                from: projected,
                line,
                movement: movement.filter(|movement| movement.amount > 0)?,
                currency,
            })
        })
}

/// What an event moves, line by line. It follows from the event's effect, so that a new event is posted right or not at
/// all.
fn movements(projected: &Projected, currency: Currency) -> [Option<Movement>; 2] {
    let effect = projected.data.effect();
    let own = || wallet(projected.event.wallet_id);
    let other = || {
        effect
            .other
            .map_or_else(|| external(currency), |other| wallet(other.wallet_id))
    };
    let movement = |source, destination, amount| {
        Some(Movement {
            source,
            destination,
            amount,
        })
    };
    match effect.hold.map(|change| hold(change.id)) {
        Some(hold) if effect.held > 0 => [movement(own(), hold, effect.held), None],
        Some(hold) if effect.pays() => [
            movement(hold.clone(), other(), effect.amount),
            // The part of the hold that was not captured.
            movement(hold, own(), effect.balance - effect.held),
        ],
        Some(hold) => [movement(hold, own(), -effect.held), None],
        None if effect.pays() => [movement(own(), other(), effect.amount), None],
        // Money from another wallet is that wallet's posting.
        None if effect.other.is_some() => [None, None],
        None => [movement(external(currency), own(), effect.balance), None],
    }
}

impl Projection for Ledger {
    const PROJECTION: Name = Name::Ledger;
    const WANTS_PERSONAL_DATA: bool = false;
    const BEYOND: &'static str = "
SELECT EXISTS (SELECT 1 FROM ledger.posting WHERE partition = $1 AND seq > $2)
    OR EXISTS (SELECT 1 FROM ledger.parked WHERE partition = $1 AND seq > $2)
    OR ($2 = 0 AND EXISTS (SELECT 1 FROM ledger.account_total WHERE partition = $1))";
    const EMPTY: &'static [&'static str] = &[
        "DELETE FROM ledger.posting WHERE partition = $1",
        "DELETE FROM ledger.account_total WHERE partition = $1",
        "DELETE FROM ledger.parked WHERE partition = $1",
    ];

    /// Nothing here is personal.
    async fn apply(
        &self,
        db: &mut PgConnection,
        events: &[Projected],
        _parked: &[Event],
    ) -> Result<(), ApplyError> {
        let postings: Vec<Posting<'_>> = events.iter().flat_map(postings).collect();
        if postings.is_empty() {
            return Ok(());
        }
        insert_postings(db, &postings).await?;
        add_totals(db, &postings).await?;
        Ok(())
    }
}

async fn insert_postings(db: &mut PgConnection, postings: &[Posting<'_>]) -> sqlx::Result<()> {
    let events = || postings.iter().map(|posting| &posting.from.event);
    let movements = || postings.iter().map(|posting| &posting.movement);
    sqlx::query(POSTINGS)
        .bind(column(events(), |event| event.partition.0))
        .bind(column(events(), |event| event.seq))
        .bind(column(postings, |posting| posting.line))
        .bind(column(events(), |event| event.transaction_id))
        .bind(column(movements(), |m| m.source.as_str()))
        .bind(column(movements(), |m| m.destination.as_str()))
        .bind(column(movements(), |m| m.amount))
        .bind(column(postings, |posting| posting.currency.as_str()))
        .bind(column(events(), |event| event.recorded_at))
        .execute(db)
        .await?;
    Ok(())
}

/// One row per account, currency and partition, however many the postings, in key order.
async fn add_totals(db: &mut PgConnection, postings: &[Posting<'_>]) -> sqlx::Result<()> {
    let mut totals: BTreeMap<(&str, &str, i32), Turnover> = BTreeMap::new();
    for posting in postings {
        let key = |account| (account, posting.currency.as_str(), posting.from.event.partition.0);
        let movement = &posting.movement;
        let amount = i128::from(movement.amount);
        totals.entry(key(movement.source.as_str())).or_default().debits += amount;
        totals
            .entry(key(movement.destination.as_str()))
            .or_default()
            .credits += amount;
    }
    sqlx::query(TOTALS)
        .bind(column(totals.keys(), |key| key.0))
        .bind(column(totals.keys(), |key| key.1))
        .bind(column(totals.keys(), |key| key.2))
        .bind(column(totals.values(), |turnover| turnover.debits.to_string()))
        .bind(column(totals.values(), |turnover| turnover.credits.to_string()))
        .execute(db)
        .await?;
    Ok(())
}
