//! The ledger: one posting per movement, and totals per account.
//!
//! The invariant: a posting takes from one account what it gives to another, and totals move with postings,
//! so the totals of a currency sum to zero at every moment. A movement between wallets is derived from the
//! event of the wallet that pays; the other event moves the cursor only.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{Currency, EventData, WalletId};

use super::{ApplyError, Projected, Projection};

pub struct Ledger;

const POSTINGS: &str = "
INSERT INTO ledger.posting
       (partition, seq, transaction_id, source, destination, amount, currency, recorded_at)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                     $8::bigint[])";

// Amounts come as text: a batch's sum may be larger than a bigint.
const TOTALS: &str = "
INSERT INTO ledger.account_total AS total (account, currency, partition, debits, credits)
SELECT account, currency, partition, debits::numeric, credits::numeric
  FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[])
       AS new (account, currency, partition, debits, credits)
ON CONFLICT (account, currency, partition) DO UPDATE
   SET debits = total.debits + excluded.debits, credits = total.credits + excluded.credits";

struct Posting<'a> {
    from: &'a Projected,
    source: String,
    destination: String,
    /// Minor units, positive.
    amount: i64,
    currency: Currency,
}

/// What left an account and what came to it, in minor units.
#[derive(Default)]
struct Turnover {
    debits: i128,
    credits: i128,
}

fn wallet(id: WalletId) -> String {
    format!("wallet:{id}")
}

fn external(currency: Currency) -> String {
    format!("external:{}", currency.as_str())
}

/// The movement that an event is the source of.
fn posting(projected: &Projected) -> Option<Posting<'_>> {
    let own = projected.event.wallet_id;
    let (source, destination, amount, currency) = match &projected.data {
        EventData::WalletCreated(created) if created.initial_balance > 0 => (
            external(created.currency),
            wallet(own),
            created.initial_balance,
            created.currency,
        ),
        EventData::WalletCreated(_) | EventData::TransferCredited(_) => return None,
        EventData::WalletCredited(moved) => (
            external(moved.currency),
            wallet(own),
            moved.amount,
            moved.currency,
        ),
        EventData::WalletDebited(moved) => (
            wallet(own),
            external(moved.currency),
            moved.amount,
            moved.currency,
        ),
        EventData::TransferDebited(leg) => (wallet(own), wallet(leg.counterparty), leg.amount, leg.currency),
    };
    Some(Posting {
        from: projected,
        source,
        destination,
        amount,
        currency,
    })
}

impl Projection for Ledger {
    const NAME: &'static str = "ledger";
    const SCHEMA: &'static str = "ledger";
    const WANTS_PERSONAL_DATA: bool = false;

    async fn apply(&self, db: &mut PgConnection, events: &[Projected]) -> Result<(), ApplyError> {
        let postings: Vec<Posting<'_>> = events.iter().filter_map(posting).collect();
        if postings.is_empty() {
            return Ok(());
        }
        insert_postings(db, &postings).await?;
        add_totals(db, &postings).await?;
        Ok(())
    }
}

async fn insert_postings(db: &mut PgConnection, postings: &[Posting<'_>]) -> Result<(), sqlx::Error> {
    let events = || postings.iter().map(|posting| &posting.from.event);
    sqlx::query(POSTINGS)
        .bind(events().map(|event| event.partition.0).collect::<Vec<i32>>())
        .bind(events().map(|event| event.seq).collect::<Vec<i64>>())
        .bind(events().map(|event| event.transaction_id).collect::<Vec<Uuid>>())
        .bind(
            postings
                .iter()
                .map(|posting| posting.source.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            postings
                .iter()
                .map(|posting| posting.destination.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(postings.iter().map(|posting| posting.amount).collect::<Vec<_>>())
        .bind(
            postings
                .iter()
                .map(|posting| posting.currency.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(events().map(|event| event.recorded_at).collect::<Vec<i64>>())
        .execute(db)
        .await?;
    Ok(())
}

/// One row per account, currency and partition, whatever the number of postings, in the order of the key.
async fn add_totals(db: &mut PgConnection, postings: &[Posting<'_>]) -> Result<(), sqlx::Error> {
    let mut totals: BTreeMap<(&str, &str, i32), Turnover> = BTreeMap::new();
    for posting in postings {
        let key = |account| (account, posting.currency.as_str(), posting.from.event.partition.0);
        let amount = i128::from(posting.amount);
        totals.entry(key(posting.source.as_str())).or_default().debits += amount;
        totals
            .entry(key(posting.destination.as_str()))
            .or_default()
            .credits += amount;
    }
    sqlx::query(TOTALS)
        .bind(totals.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(totals.keys().map(|key| key.1).collect::<Vec<_>>())
        .bind(totals.keys().map(|key| key.2).collect::<Vec<_>>())
        .bind(
            totals
                .values()
                .map(|turnover| turnover.debits.to_string())
                .collect::<Vec<_>>(),
        )
        .bind(
            totals
                .values()
                .map(|turnover| turnover.credits.to_string())
                .collect::<Vec<_>>(),
        )
        .execute(db)
        .await?;
    Ok(())
}
