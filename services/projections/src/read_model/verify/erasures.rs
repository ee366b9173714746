//! The read model's record of erasures, which decides what personal data an entry may have: one row for each erased
//! wallet, at its last erasure, and none without an event.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_journal::check;
use wallex_journal::verify::{CHUNK, Report};
use wallex_postgres::column;

use super::{Applied, kind};

const MISSING: &str = "
SELECT e.wallet_id
  FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS e (wallet_id, partition, seq)
  LEFT JOIN read_model.erasure r ON r.wallet_id = e.wallet_id AND r.partition = e.partition AND r.seq >= e.seq
 WHERE r.wallet_id IS NULL";

const ROWS: &str = "SELECT wallet_id, partition, seq FROM read_model.erasure \
    WHERE $1::uuid IS NULL OR wallet_id > $1 ORDER BY wallet_id LIMIT $2";

/// Applied erasures have a row.
pub(super) async fn compare(
    read: &mut PgConnection,
    applied: &[Applied],
    report: &mut Report,
) -> sqlx::Result<()> {
    let erasures = || {
        let events = applied.iter().map(|applied| &applied.projected);
        events
            .filter(|projected| projected.data.effect().erases)
            .map(|projected| &projected.event)
    };
    if erasures().next().is_none() {
        return Ok(());
    }
    let missing: Vec<Uuid> = sqlx::query_scalar(MISSING)
        .bind(column(erasures(), |event| event.wallet_id.0))
        .bind(column(erasures(), |event| event.partition.0))
        .bind(column(erasures(), |event| event.seq))
        .fetch_all(read)
        .await?;
    report.add_each(kind::PERSONAL_DATA, missing, |id| {
        format!("the read model has forgotten an erasure of wallet {id}")
    });
    Ok(())
}

/// An erasure without an event would suppress the personal data of later events.
pub(super) async fn look_for_strays(
    journal: &mut PgConnection,
    read: &mut PgConnection,
    report: &mut Report,
) -> sqlx::Result<()> {
    let mut after: Option<Uuid> = None;
    loop {
        let rows: Vec<(Uuid, i32, i64)> = sqlx::query_as(ROWS)
            .bind(after)
            .bind(CHUNK)
            .fetch_all(&mut *read)
            .await?;
        let Some((last, ..)) = rows.last() else {
            return Ok(());
        };
        after = Some(*last);
        report.add_each(
            kind::PERSONAL_DATA,
            check::unknown_erasures(&mut *journal, &rows).await?,
            |id| format!("the read model has an erasure of wallet {id} that no event decided"),
        );
    }
}
