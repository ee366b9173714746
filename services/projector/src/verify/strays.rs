//! Rows of the read model that nothing in the journal accounts for. A projection is behind the journal, never ahead: what it
//! has and the journal has not was not projected.

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;
use wallex_journal::verify::{CHUNK, Kind, Report};

use super::{Sides, erasures};

// One statement, so one snapshot: entries come with their wallet's version.
const ENTRIES: &str = "
SELECT e.wallet_id, e.version
  FROM read_model.entry e LEFT JOIN read_model.wallet w ON w.wallet_id = e.wallet_id
 WHERE w.wallet_id IS NULL OR e.version > w.version OR e.version < 1
 LIMIT 1000";

/// A table of the read model whose rows have a namesake in the journal.
struct Table {
    kind: Kind,
    noun: &'static str,
    read_model: &'static str,
    key: &'static str,
    journal: &'static str,
}

const TABLES: [Table; 2] = [
    Table {
        kind: Kind::ReadModelWallet,
        noun: "wallet",
        read_model: "read_model.wallet",
        key: "wallet_id",
        journal: "journal.head",
    },
    Table {
        kind: Kind::ReadModelHold,
        noun: "hold",
        read_model: "read_model.hold",
        key: "hold_id",
        journal: "journal.hold",
    },
];

pub(super) async fn look_for(sides: &mut Sides, report: &mut Report) -> Result<(), sqlx::Error> {
    let Sides { journal, read } = sides;
    let entries: Vec<(Uuid, i64)> = sqlx::query_as(ENTRIES).fetch_all(&mut *read).await?;
    for (wallet, version) in entries {
        report.add(Kind::Entry, || {
            format!("entry {version} of wallet {wallet} is of no event that was applied")
        });
    }
    for table in &TABLES {
        in_table(table, journal, read, report).await?;
    }
    erasures::look_for_strays(journal, read, report).await
}

async fn in_table(
    table: &Table,
    journal: &mut PgConnection,
    read: &mut PgConnection,
    report: &mut Report,
) -> Result<(), sqlx::Error> {
    let Table { read_model, key, .. } = table;
    let page = format!(
        "SELECT {key} FROM {read_model} WHERE $1::uuid IS NULL OR {key} > $1 ORDER BY {key} LIMIT $2"
    );
    let unknown = format!(
        "SELECT id FROM unnest($1::uuid[]) id WHERE NOT EXISTS (SELECT 1 FROM {} j WHERE j.{key} = id)",
        table.journal
    );
    let mut after: Option<Uuid> = None;
    loop {
        let ids: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(page.as_str()))
            .bind(after)
            .bind(CHUNK)
            .fetch_all(&mut *read)
            .await?;
        let Some(last) = ids.last() else { return Ok(()) };
        after = Some(*last);
        let strays: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(unknown.as_str()))
            .bind(ids)
            .fetch_all(&mut *journal)
            .await?;
        for id in strays {
            report.add(table.kind, || {
                format!("the read model's {} {id} is not in the journal", table.noun)
            });
        }
    }
}
