//! The rows beside a partition's events against the fold of the events, in one snapshot.

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;
use wallex_domain::{Mark, Partition};
use wallex_postgres::column;

use super::CHUNK;
use super::fold::{Fold, Folded};
use super::report::{Kind, Report};
use super::reversals;
use crate::read;

const PARTITION: &str =
    "SELECT id, last_seq, head_hash, last_recorded_at FROM journal.partition WHERE id = $1";

const BEYOND: &str = "SELECT min(seq) FROM journal.event WHERE partition = $1 AND seq > $2";

const PUBLICATION: &str = "
SELECT p.checkpoint_seq, p.checkpoint_hash = coalesce(e.hash, decode(repeat('00', 32), 'hex'))
  FROM journal.publication p
  LEFT JOIN journal.event e ON e.partition = p.partition AND e.seq = p.checkpoint_seq
 WHERE p.partition = $1";

const HEADS: &str = "
SELECT e.wallet_id, h.wallet_id IS NULL
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
       AS e (wallet_id, version, balance, held, overdraft_limit, status, currency)
  LEFT JOIN journal.head h ON h.wallet_id = e.wallet_id
 WHERE (h.partition, h.version, h.balance, h.held, h.overdraft_limit, h.status, h.currency) IS DISTINCT FROM
       ($8, e.version, e.balance, e.held, e.overdraft_limit, e.status, e.currency)";

const DETAILS: &str = "
SELECT e.wallet_id
  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS e (wallet_id, owner, description, metadata)
  LEFT JOIN journal.details d ON d.wallet_id = e.wallet_id
 WHERE (coalesce(d.owner, 1), coalesce(d.description, 1), coalesce(d.metadata, 1)) IS DISTINCT FROM
       (e.owner, e.description, e.metadata)";

const PERSONAL_ROWS: &str =
    "SELECT wallet_id, count(*) FROM journal.personal WHERE wallet_id = ANY($1) GROUP BY wallet_id";

/// The partition's own row.
pub(super) struct PartitionRow {
    id: Partition,
    pub(super) head: Mark,
    last_recorded_at: i64,
}

/// Where the walk ended.
pub(super) struct End {
    pub(super) at: Mark,
    pub(super) recorded_at: i64,
}

impl PartitionRow {
    pub(super) async fn read(db: &mut PgConnection, partition: Partition) -> sqlx::Result<Option<Self>> {
        let row = sqlx::query(PARTITION)
            .bind(partition.0)
            .fetch_optional(db)
            .await?;
        row.map(|row| {
            Ok(Self {
                id: Partition(row.try_get("id")?),
                head: Mark {
                    seq: row.try_get("last_seq")?,
                    hash: read::hash_column(&row, "head_hash")?,
                },
                last_recorded_at: row.try_get("last_recorded_at")?,
            })
        })
        .transpose()
    }
}

pub(super) async fn with_rows(
    db: &mut PgConnection,
    row: &PartitionRow,
    end: &End,
    fold: Fold,
    reversed: &mut reversals::Known,
    report: &mut Report,
) -> sqlx::Result<()> {
    with_partition_row(&mut *db, row, end, report).await?;
    with_publication(&mut *db, row, report).await?;
    report.wallets += fold.wallets.len() + fold.broken.len();
    let wallets: Vec<Folded> = fold.wallets.into_values().collect();
    for wallets in wallets.chunks(CHUNK as usize) {
        with_heads(&mut *db, row.id, wallets, report).await?;
        with_details(&mut *db, wallets, report).await?;
        with_personal_rows(&mut *db, wallets, report).await?;
    }
    fold.holds.compare(&mut *db, row.id, report).await?;
    reversals::compare(db, (row.id, end.at.seq), fold.reversed, reversed, report).await
}

async fn with_partition_row(
    db: &mut PgConnection,
    row: &PartitionRow,
    end: &End,
    report: &mut Report,
) -> sqlx::Result<()> {
    let partition = row.id;
    if end.at.hash != row.head.hash {
        report.add(Kind::Partition, || {
            format!(
                "partition {partition}'s head hash is not that of event {}",
                end.at.seq
            )
        });
    }
    if end.recorded_at != row.last_recorded_at {
        report.add(Kind::Partition, || {
            format!("partition {partition}'s time is not that of its last event")
        });
    }
    let beyond: Option<i64> = sqlx::query_scalar(BEYOND)
        .bind(partition.0)
        .bind(row.head.seq)
        .fetch_one(db)
        .await?;
    if let Some(seq) = beyond {
        report.add(Kind::Partition, || {
            format!(
                "partition {partition} has event {seq}, and its head is at {}",
                row.head.seq
            )
        });
    }
    Ok(())
}

/// Published events have left the system: a journal that no longer has them was truncated or rewritten.
async fn with_publication(
    db: &mut PgConnection,
    row: &PartitionRow,
    report: &mut Report,
) -> sqlx::Result<()> {
    let partition = row.id;
    let checkpoint: Option<(i64, bool)> = sqlx::query_as(PUBLICATION)
        .bind(partition.0)
        .fetch_optional(db)
        .await?;
    match checkpoint {
        None => report.add(Kind::Publication, || {
            format!(
                "partition {partition} has no row in journal.publication: its events would never be published"
            )
        }),
        Some((seq, _)) if seq > row.head.seq => report.add(Kind::Publication, || {
            format!(
                "{partition}:{seq} was published, and the journal ends at {}",
                row.head.seq
            )
        }),
        Some((seq, false)) => report.add(Kind::Publication, || {
            format!("{partition}:{seq} was published with another hash than the journal has")
        }),
        Some((_, true)) => {}
    }
    Ok(())
}

async fn with_heads(
    db: &mut PgConnection,
    partition: Partition,
    wallets: &[Folded],
    report: &mut Report,
) -> sqlx::Result<()> {
    let wallets = || wallets.iter().map(|folded| &folded.wallet);
    let different: Vec<(Uuid, bool)> = sqlx::query_as(HEADS)
        .bind(column(wallets(), |wallet| wallet.id.0))
        .bind(column(wallets(), |wallet| wallet.version))
        .bind(column(wallets(), |wallet| wallet.balance))
        .bind(column(wallets(), |wallet| wallet.held))
        .bind(column(wallets(), |wallet| wallet.overdraft_limit))
        .bind(column(wallets(), |wallet| wallet.status.as_str()))
        .bind(column(wallets(), |wallet| wallet.currency.to_string()))
        .bind(partition.0)
        .fetch_all(db)
        .await?;
    report.add_each(Kind::Wallet, different, |(wallet, is_missing)| {
        if is_missing {
            format!("wallet {wallet} has events and no head")
        } else {
            format!("wallet {wallet}'s head is not the fold of its events")
        }
    });
    Ok(())
}

async fn with_details(db: &mut PgConnection, wallets: &[Folded], report: &mut Report) -> sqlx::Result<()> {
    let different: Vec<Uuid> = sqlx::query_scalar(DETAILS)
        .bind(column(wallets, |folded| folded.wallet.id.0))
        .bind(column(wallets, |folded| folded.details[0]))
        .bind(column(wallets, |folded| folded.details[1]))
        .bind(column(wallets, |folded| folded.details[2]))
        .fetch_all(db)
        .await?;
    report.add_each(Kind::Wallet, different, |wallet| {
        format!("wallet {wallet}'s row in journal.details does not say which of its events changed it")
    });
    Ok(())
}

/// Erasures remove rows and nothing adds one later: rows beyond those seen beside the events do not belong to them.
async fn with_personal_rows(
    db: &mut PgConnection,
    wallets: &[Folded],
    report: &mut Report,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = wallets.iter().map(|folded| folded.wallet.id.0).collect();
    let counts: Vec<(Uuid, i64)> = sqlx::query_as(PERSONAL_ROWS).bind(ids).fetch_all(db).await?;
    let counts: std::collections::HashMap<Uuid, i64> = counts.into_iter().collect();
    for folded in wallets {
        let id = folded.wallet.id;
        let found = counts.get(&id.0).copied().unwrap_or(0);
        if found > folded.personal_rows {
            report.add(Kind::PersonalData, || {
                format!(
                    "wallet {id} has {} rows of personal data that belong to none of its events",
                    found - folded.personal_rows
                )
            });
        }
    }
    Ok(())
}
