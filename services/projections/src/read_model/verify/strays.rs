//! Rows of the read model that nothing in the journal accounts for. A projection may be behind the journal, never
//! ahead: whatever it has and the journal lacks was not projected.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_journal::check;
use wallex_journal::verify::{CHUNK, Report};

use super::{erasures, kind};
use crate::verify::cursors::Sides;

// One statement, so one snapshot: entries become visible with their wallet's version.
const ENTRIES: &str = "
SELECT e.wallet_id, e.version
  FROM read_model.entry e LEFT JOIN read_model.wallet w ON w.wallet_id = e.wallet_id
 WHERE w.wallet_id IS NULL OR e.version > w.version OR e.version < 1
 LIMIT 1000";

// Pages of ids to look up in the journal.
const WALLETS: &str = "SELECT wallet_id FROM read_model.wallet WHERE $1::uuid IS NULL OR wallet_id > $1 ORDER BY wallet_id LIMIT $2";
const HOLDS: &str =
    "SELECT hold_id FROM read_model.hold WHERE $1::uuid IS NULL OR hold_id > $1 ORDER BY hold_id LIMIT $2";

pub(crate) async fn look_for(sides: &mut Sides, report: &mut Report) -> sqlx::Result<()> {
    let Sides { journal, read } = sides;
    let entries: Vec<(Uuid, i64)> = sqlx::query_as(ENTRIES).fetch_all(&mut *read).await?;
    report.add_each(kind::ENTRY, entries, |(wallet, version)| {
        format!("entry {version} of wallet {wallet} is of no event that was applied")
    });
    let mut after = None;
    while let Some(ids) = next_page(read, WALLETS, &mut after).await? {
        report.add_each(kind::WALLET, check::unknown_wallets(journal, ids).await?, |id| {
            not_there("wallet", id)
        });
    }
    let mut after = None;
    while let Some(ids) = next_page(read, HOLDS, &mut after).await? {
        report.add_each(kind::HOLD, check::unknown_holds(journal, ids).await?, |id| {
            not_there("hold", id)
        });
    }
    erasures::look_for_strays(journal, read, report).await
}

fn not_there(noun: &str, id: Uuid) -> String {
    format!("the read model's {noun} {id} is not in the journal")
}

/// The ids after `after`, which is advanced past them.
async fn next_page(
    read: &mut PgConnection,
    statement: &'static str,
    after: &mut Option<Uuid>,
) -> sqlx::Result<Option<Vec<Uuid>>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(statement)
        .bind(*after)
        .bind(CHUNK)
        .fetch_all(read)
        .await?;
    *after = ids.last().copied();
    Ok(after.is_some().then_some(ids))
}
