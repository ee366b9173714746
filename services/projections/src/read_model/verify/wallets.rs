//! The read model's wallets and holds: rows that change with the events. What an event settles for good (a creation,
//! the end of a hold) is compared during the walk; the rest in the snapshot at its end.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventData, Hold, HoldId, HoldStatus, Partition, PersonalData};
use wallex_journal::verify::{CHUNK, Report};
use wallex_journal::{Event, read};
use wallex_postgres::column;

use super::{Applied, Fold, Folded, kind};
use crate::verify::cursors::missing_or;

const WALLETS: &str = "
SELECT e.wallet_id, w.wallet_id IS NULL
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
              $9::bigint[], $10::bigint[])
       AS e (wallet_id, seq, version, currency, balance, held, overdraft_limit, status, created_at, updated_at)
  LEFT JOIN read_model.wallet w ON w.wallet_id = e.wallet_id
 WHERE (w.partition, w.seq, w.version, w.currency, w.balance, w.held, w.overdraft_limit, w.status, w.created_at,
        w.updated_at) IS DISTINCT FROM
       ($11, e.seq, e.version, e.currency, e.balance, e.held, e.overdraft_limit, e.status, e.created_at, e.updated_at)";

const CREATED: &str = "
SELECT e.wallet_id
  FROM unnest($1::uuid[], $2::text[]) AS e (wallet_id, external_id)
  JOIN read_model.wallet w ON w.wallet_id = e.wallet_id
 WHERE w.external_id IS DISTINCT FROM e.external_id";

// Erased details are gone; all others are as in the journal, as long as the journal still has them.
const DETAILS: &str = "
SELECT DISTINCT e.wallet_id
  FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bool[], $5::text[])
       AS e (wallet_id, detail, seq, is_known, value)
  JOIN read_model.wallet w ON w.wallet_id = e.wallet_id
  LEFT JOIN read_model.erasure r ON r.wallet_id = e.wallet_id
 CROSS JOIN LATERAL (SELECT CASE e.detail WHEN 'owner' THEN to_jsonb(w.owner)
                                          WHEN 'description' THEN to_jsonb(w.description)
                                          ELSE w.metadata::jsonb END AS value) found
 WHERE CASE WHEN coalesce(r.partition = $6 AND e.seq <= r.seq, false) THEN found.value IS NOT NULL
            WHEN e.is_known THEN found.value IS DISTINCT FROM e.value::jsonb
            ELSE false END";

const HOLDS: &str = "
SELECT e.hold_id, h.hold_id IS NULL
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::text[],
              $9::bigint[], $10::bigint[], $11::bigint[])
       AS e (hold_id, wallet_id, amount, captured, currency, status, expires_at, reference, version, created_at, updated_at)
  LEFT JOIN read_model.hold h ON h.hold_id = e.hold_id
 WHERE (h.wallet_id, h.amount, h.captured, h.currency, h.status, h.expires_at, h.reference, h.version, h.created_at,
        h.updated_at) IS DISTINCT FROM
       (e.wallet_id, e.amount, e.captured, e.currency, e.status, e.expires_at, e.reference, e.version, e.created_at,
        e.updated_at)";

/// The expected row of a hold.
pub(super) struct Row {
    hold: Hold,
    captured: i64,
    currency: String,
    reference: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

#[derive(Default)]
pub(super) struct Holds {
    open: HashMap<HoldId, Row>,
    ended: Vec<Row>,
}

impl Holds {
    pub(super) fn apply(&mut self, event: &Event, data: &EventData) {
        let Some(change) = data.effect().hold else {
            return;
        };
        let before = self.open.remove(&change.id);
        // An event that does not follow is the journal's fault; its own check reports it.
        let Some(hold) = Hold::evolve(before.as_ref().map(|row| row.hold.clone()), event.wallet_id, data)
        else {
            return;
        };
        let Some(before) = before else {
            let row = Row {
                hold,
                captured: 0,
                currency: data.currency().to_string(),
                reference: data.reference().map(str::to_owned),
                version: event.version,
                created_at: event.recorded_at,
                updated_at: event.recorded_at,
            };
            self.open.insert(change.id, row);
            return;
        };
        let row = Row {
            hold,
            captured: change.captured,
            updated_at: event.recorded_at,
            ..before
        };
        if row.hold.status == HoldStatus::Open {
            self.open.insert(change.id, row);
        } else {
            self.ended.push(row);
        }
    }

    /// Holds that ended since the last call. They never change again.
    pub(super) fn take_ended(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.ended)
    }
}

/// Runs in the snapshot that the walk has caught up with.
pub(super) async fn compare(
    journal: &mut PgConnection,
    db: &mut PgConnection,
    partition: Partition,
    fold: Fold,
    report: &mut Report,
) -> sqlx::Result<()> {
    let wallets: Vec<Folded> = fold.wallets.into_values().collect();
    for wallets in wallets.chunks(CHUNK as usize) {
        compare_wallets(&mut *db, partition, wallets, report).await?;
        compare_details(&mut *journal, &mut *db, partition, wallets, report).await?;
    }
    let open: Vec<Row> = fold.holds.open.into_values().collect();
    for holds in open.chunks(CHUNK as usize) {
        compare_holds(&mut *db, holds.iter(), report).await?;
    }
    Ok(())
}

async fn compare_wallets(
    db: &mut PgConnection,
    partition: Partition,
    folded: &[Folded],
    report: &mut Report,
) -> sqlx::Result<()> {
    let wallets = || folded.iter().map(|folded| &folded.wallet);
    let different: Vec<(Uuid, bool)> = sqlx::query_as(WALLETS)
        .bind(column(wallets(), |wallet| wallet.id.0))
        .bind(column(folded, |folded| folded.seq))
        .bind(column(wallets(), |wallet| wallet.version))
        .bind(column(wallets(), |wallet| wallet.currency.to_string()))
        .bind(column(wallets(), |wallet| wallet.balance))
        .bind(column(wallets(), |wallet| wallet.held))
        .bind(column(wallets(), |wallet| wallet.overdraft_limit))
        .bind(column(wallets(), |wallet| wallet.status.as_str()))
        .bind(column(folded, |folded| folded.created_at))
        .bind(column(folded, |folded| folded.updated_at))
        .bind(partition.0)
        .fetch_all(db)
        .await?;
    report.add_each(kind::WALLET, different, |(wallet, is_missing)| {
        let what = missing_or(is_missing, "is not the fold of its events");
        format!("the read model's wallet {wallet} {what}")
    });
    Ok(())
}

/// What a creation settles for good: the external id.
pub(super) async fn compare_created(
    db: &mut PgConnection,
    applied: &[Applied],
    report: &mut Report,
) -> sqlx::Result<()> {
    let created: Vec<_> = applied
        .iter()
        .filter_map(|Applied { projected, .. }| Some((projected, projected.data.created()?)))
        .collect();
    if created.is_empty() {
        return Ok(());
    }
    let different: Vec<Uuid> = sqlx::query_scalar(CREATED)
        .bind(column(&created, |(projected, _)| projected.event.wallet_id.0))
        .bind(column(&created, |(_, created)| created.external_id.as_deref()))
        .fetch_all(db)
        .await?;
    report.add_each(kind::WALLET, different, |wallet| {
        format!("the read model's wallet {wallet} has another external id than the journal")
    });
    Ok(())
}

/// One of a wallet's details: its column, and its JSON in the data beside an event.
type Detail = (&'static str, fn(&PersonalData) -> Option<String>);

/// In the order of [`Folded::said`].
const DETAIL: [Detail; 3] = [
    ("owner", |data| serde_json::to_string(data.owner.as_ref()?).ok()),
    ("description", |data| {
        serde_json::to_string(data.description.as_ref()?).ok()
    }),
    ("metadata", |data| {
        serde_json::to_string(data.metadata.as_ref()?).ok()
    }),
];

async fn compare_details(
    journal: &mut PgConnection,
    db: &mut PgConnection,
    partition: Partition,
    folded: &[Folded],
    report: &mut Report,
) -> sqlx::Result<()> {
    let said = folded.iter().flat_map(|folded| {
        let said = DETAIL.iter().zip(&folded.said);
        said.filter_map(|(detail, said)| Some((folded.wallet.id.0, detail, said.as_ref()?)))
    });
    let said: Vec<_> = said.collect();
    let with_data = said.iter().filter(|(.., said)| said.digest.is_some());
    let mut ids: Vec<Uuid> = with_data.map(|(.., said)| said.event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let stored = read::stored_personal(journal, &ids).await?;
    // If the journal has lost the row, or somebody has changed it, there is nothing to compare with.
    let values: Vec<Option<Option<String>>> = said
        .iter()
        .map(|(_, (_, value), said)| {
            let Some(digest) = said.digest else {
                return Some(None);
            };
            let stored = stored
                .get(&said.event_id)
                .filter(|stored| stored.digest == digest)?;
            stored.data.as_ref().ok().map(value)
        })
        .collect();
    let different: Vec<Uuid> = sqlx::query_scalar(DETAILS)
        .bind(column(&said, |(wallet, ..)| *wallet))
        .bind(column(&said, |(_, (name, _), _)| *name))
        .bind(column(&said, |(.., said)| said.seq))
        .bind(column(&values, Option::is_some))
        .bind(column(&values, |value| value.as_ref()?.as_deref()))
        .bind(partition.0)
        .fetch_all(db)
        .await?;
    report.add_each(kind::PERSONAL_DATA, different, |wallet| {
        format!("the read model's wallet {wallet} has other personal data than the journal")
    });
    Ok(())
}

pub(super) async fn compare_holds(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &Row> + Clone,
    report: &mut Report,
) -> sqlx::Result<()> {
    let rows = || rows.clone();
    let holds = || rows().map(|row| &row.hold);
    if rows().next().is_none() {
        return Ok(());
    }
    let different: Vec<(Uuid, bool)> = sqlx::query_as(HOLDS)
        .bind(column(holds(), |hold| hold.id.0))
        .bind(column(holds(), |hold| hold.wallet_id.0))
        .bind(column(holds(), |hold| hold.amount))
        .bind(column(rows(), |row| row.captured))
        .bind(column(rows(), |row| row.currency.as_str()))
        .bind(column(holds(), |hold| hold.status.as_str()))
        .bind(column(holds(), |hold| hold.expires_at))
        .bind(column(rows(), |row| row.reference.as_deref()))
        .bind(column(rows(), |row| row.version))
        .bind(column(rows(), |row| row.created_at))
        .bind(column(rows(), |row| row.updated_at))
        .fetch_all(db)
        .await?;
    report.add_each(kind::HOLD, different, |(id, is_missing)| {
        let what = missing_or(is_missing, "is not the fold of its events");
        format!("the read model's hold {id} {what}")
    });
    Ok(())
}
