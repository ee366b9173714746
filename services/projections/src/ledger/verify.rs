//! The ledger: every posting is what its event moves, and every total is the sum of its postings. A trial balance alone
//! would not show that money was moved from one account's total to another's.

use sqlx::PgConnection;
use wallex_domain::Partition;
use wallex_journal::verify::{Kind, Report};
use wallex_postgres::column;

use super::apply::{Posting, postings};
use crate::registry::Name;
use crate::verify::cursors::{Compared, Sides, missing_or, reach};

const POSTING: Kind = Kind::Rows("postings");
const TOTAL: Kind = Kind::Rows("account totals");

const DIFFERENT: &str = "
SELECT e.seq, p.seq IS NULL
  FROM unnest($2::bigint[], $3::smallint[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bigint[])
       AS e (seq, line, transaction_id, source, destination, amount, currency, recorded_at)
  LEFT JOIN ledger.posting p ON p.partition = $1 AND p.seq = e.seq AND p.line = e.line
 WHERE (p.transaction_id, p.source, p.destination, p.amount, p.currency, p.recorded_at) IS DISTINCT FROM
       (e.transaction_id, e.source, e.destination, e.amount, e.currency, e.recorded_at)";

const COUNT: &str = "SELECT count(*) FROM ledger.posting WHERE partition = $1 AND seq > $2 AND seq <= $3";

// One statement, so one snapshot: postings become visible with the cursor that passes them.
const OUTSIDE: &str = "
SELECT p.seq FROM ledger.posting p
 WHERE p.partition = $1
   AND (p.seq < 1 OR p.seq > coalesce((SELECT c.seq FROM ledger.cursor c WHERE c.partition = $1), 0))
 ORDER BY p.seq LIMIT 1000";

// One statement again: totals move with the postings.
const TOTALS: &str = "
WITH folded AS (
    SELECT account, currency, sum(debits) AS debits, sum(credits) AS credits
      FROM (SELECT source AS account, currency, amount::numeric AS debits, 0::numeric AS credits
              FROM ledger.posting WHERE partition = $1
            UNION ALL
            SELECT destination, currency, 0, amount FROM ledger.posting WHERE partition = $1) moved
     GROUP BY account, currency)
SELECT account, currency
  FROM folded f
  FULL JOIN (SELECT account, currency, debits, credits FROM ledger.account_total WHERE partition = $1) t
       USING (account, currency)
 WHERE (t.debits, t.credits) IS DISTINCT FROM (f.debits, f.credits)
 LIMIT 1000";

const FOREIGN: &str = "
WITH RECURSIVE used AS (
    SELECT min(partition) AS id FROM ledger.posting
    UNION ALL
    SELECT (SELECT min(p.partition) FROM ledger.posting p WHERE p.partition > used.id) FROM used
     WHERE used.id IS NOT NULL),
present AS (
    SELECT id FROM used WHERE id IS NOT NULL
    UNION
    SELECT DISTINCT partition FROM ledger.account_total)
SELECT id FROM present WHERE id NOT IN (SELECT partition FROM ledger.cursor) ORDER BY id";

pub(crate) async fn partition(
    sides: &mut Sides,
    partition: Partition,
    compared: &mut Compared,
    report: &mut Report,
) -> sqlx::Result<()> {
    let reach = reach(Name::Ledger, sides, partition, compared, report).await?;
    let mut seq = 0;
    while seq < reach.seq {
        let (applied, to) = reach.next(&mut sides.journal, partition, seq).await?;
        let expected: Vec<Posting<'_>> = applied.iter().flat_map(postings).collect();
        with_postings(&mut sides.read, partition, (seq, to), &expected, report).await?;
        seq = to;
        report.progress(format_args!("the ledger at {partition}:{seq} of {}", reach.seq));
    }
    let outside: Vec<i64> = sqlx::query_scalar(OUTSIDE)
        .bind(partition.0)
        .fetch_all(&mut sides.read)
        .await?;
    report.add_each(POSTING, outside, |seq| {
        format!("the ledger has a posting of {partition}:{seq}, which it has not applied")
    });
    let totals: Vec<(String, String)> = sqlx::query_as(TOTALS)
        .bind(partition.0)
        .fetch_all(&mut sides.read)
        .await?;
    report.add_each(TOTAL, totals, |(account, currency)| {
        format!("the total of {account} in {currency}, partition {partition}, is not the sum of its postings")
    });
    Ok(())
}

/// The postings of the events after `from`, up to and including `to`.
async fn with_postings(
    read: &mut PgConnection,
    partition: Partition,
    (from, to): (i64, i64),
    expected: &[Posting<'_>],
    report: &mut Report,
) -> sqlx::Result<()> {
    let events = || expected.iter().map(|posting| &posting.from.event);
    let movements = || expected.iter().map(|posting| &posting.movement);
    let different: Vec<(i64, bool)> = sqlx::query_as(DIFFERENT)
        .bind(partition.0)
        .bind(column(events(), |event| event.seq))
        .bind(column(expected, |posting| posting.line))
        .bind(column(events(), |event| event.transaction_id))
        .bind(column(movements(), |m| m.source.as_str()))
        .bind(column(movements(), |m| m.destination.as_str()))
        .bind(column(movements(), |m| m.amount))
        .bind(column(expected, |posting| posting.currency.as_str()))
        .bind(column(events(), |event| event.recorded_at))
        .fetch_all(&mut *read)
        .await?;
    let missing = different.iter().filter(|(_, is_missing)| *is_missing).count();
    report.add_each(POSTING, different, |(seq, is_missing)| {
        let what = missing_or(is_missing, "is not what the event moves");
        format!("the ledger's posting of {partition}:{seq} {what}")
    });
    let count: i64 = sqlx::query_scalar(COUNT)
        .bind(partition.0)
        .bind(from)
        .bind(to)
        .fetch_one(read)
        .await?;
    let known = (expected.len() - missing) as i64;
    if count > known {
        report.add(POSTING, || {
            format!(
                "the ledger has {} postings of {partition}:{} to {to} that no event makes",
                count - known,
                from + 1
            )
        });
    }
    Ok(())
}

/// Partitions that have postings or totals but no cursor.
pub(crate) async fn look_for_strays(read: &mut PgConnection, report: &mut Report) -> sqlx::Result<()> {
    let foreign: Vec<i32> = sqlx::query_scalar(FOREIGN).fetch_all(read).await?;
    report.add_each(POSTING, foreign, |partition| {
        format!("the ledger has rows of partition {partition} and no cursor of it")
    });
    Ok(())
}
