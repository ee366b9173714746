//! Erasure of a wallet's personal data: from its row, from its entries up to the erasure, and from the other side's
//! entries of the same transactions.
//!
//! The other side is written by another partition's owner, possibly at the same moment. Why nothing escapes:
//!
//! ```text
//! a batch that writes personal data beside a counterparty     a batch that erases
//! 1 lock the counterparties, shared                           1 lock all erasures, then its wallets, exclusive
//! 2 check which of them are erased (read_model.erasure)       2 write its own entries
//! 3 write the entries, erased ones without the data           3 erase; write read_model.erasure
//! 4 COMMIT, which releases the locks                          4 COMMIT
//! ```
//! Whichever comes second waits for the other's commit and then sees its rows, because each statement sees what was
//! committed when it began (READ COMMITTED, see projection::BEGIN). The locks are transaction-level advisory locks.
//!
//! No deadlock: batches that erase run one after the other (they update rows of each other's wallets), and wallets are
//! always locked in the same order.
//!
//! The invariant: once an erasure is committed, no earlier entry has personal data of its wallet, on either side.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventKind, OtherLeg};
use wallex_journal::Event;
use wallex_postgres::column;

use crate::projection::Projected;

/// The most counterparties that a batch locks one by one. With more, it shuts out all erasures with one lock: the
/// server's lock table is small (max_locks_per_transaction x max_connections) and shared by everyone.
const FEW: usize = 256;

/// Versions of a wallet that one statement erases. A wallet with a million entries is still erased in the batch's
/// transaction, but no statement gets near its time limit.
const STRIDE: i64 = 5_000;

const LOCK_ALL: &str = "SELECT pg_advisory_xact_lock(hashtextextended('wallex.erasures', 0))";
const LOCK_ALL_SHARED: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended('wallex.erasures', 0))";

// Row by row, in the order of the array.
const LOCK: &str = "
SELECT pg_advisory_xact_lock(hashtextextended('wallex.erasure:' || id::text, 0)) FROM unnest($1::uuid[]) id";
const LOCK_SHARED: &str = "
SELECT pg_advisory_xact_lock_shared(hashtextextended('wallex.erasure:' || id::text, 0)) FROM unnest($1::uuid[]) id";

const ERASED: &str = "SELECT wallet_id, partition, seq FROM read_model.erasure WHERE wallet_id = ANY ($1)";

const WALLETS: &str = "
UPDATE read_model.wallet SET owner = NULL, description = NULL, metadata = NULL WHERE wallet_id = ANY ($1)";

const OWN_ENTRIES: &str = "
UPDATE read_model.entry e
   SET description = NULL, metadata = NULL
  FROM unnest($1::uuid[], $2::bigint[]) AS erased (wallet_id, version)
 WHERE e.wallet_id = erased.wallet_id AND e.version > $3 AND e.version <= erased.version
   AND (e.description IS NOT NULL OR e.metadata IS NOT NULL)";

// Columns that are not compared by `=` cannot choose an index: the entries of one transaction are few, but those of one
// wallet, or of two that trade with each other all day, are not.
const OTHER_ENTRIES: &str = "
UPDATE read_model.entry other
   SET description = NULL, metadata = NULL
  FROM unnest($1::uuid[], $2::bigint[]) AS erased (wallet_id, version)
  JOIN read_model.entry own
    ON own.wallet_id = erased.wallet_id AND own.version > $3 AND own.version <= erased.version
   AND own.counterparty IS NOT NULL
 WHERE other.transaction_id = own.transaction_id
   AND other.wallet_id IS NOT DISTINCT FROM own.counterparty
   AND other.counterparty IS NOT DISTINCT FROM own.wallet_id
   AND (other.description IS NOT NULL OR other.metadata IS NOT NULL)";

// Parked legs have no entries through which to find the other side.
const OTHERS_OF_PARKED: &str = "
UPDATE read_model.entry other
   SET description = NULL, metadata = NULL
  FROM unnest($1::uuid[], $2::bigint[]) AS erased (wallet_id, seq)
  JOIN read_model.parked own ON own.wallet_id = erased.wallet_id AND own.seq <= erased.seq
 WHERE other.transaction_id = own.transaction_id
   AND other.counterparty IS NOT DISTINCT FROM own.wallet_id
   AND (other.description IS NOT NULL OR other.metadata IS NOT NULL)";

// Never move it back: a read model that is being refilled may find the row of a later erasure.
const REMEMBER: &str = "
INSERT INTO read_model.erasure AS known (wallet_id, partition, seq)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[])
ON CONFLICT (wallet_id) DO UPDATE
   SET partition = excluded.partition, seq = greatest(known.seq, excluded.seq)";

/// The last erasure of each wallet in a batch.
pub(super) type Erasures<'a> = BTreeMap<Uuid, &'a Event>;

/// `parked` events are not applied, but erased data is personal whatever else is wrong with the wallet. A parked event
/// may be unreadable; its type alone says that it erases, and there is nothing more to it.
pub(super) fn of<'a>(events: &'a [Projected], parked: &'a [Event]) -> Erasures<'a> {
    let parked = parked
        .iter()
        .filter(|event| event.event_type == EventKind::PersonalDataErased.as_str());
    events
        .iter()
        .filter(|projected| projected.data.effect().erases)
        .map(|projected| &projected.event)
        .chain(parked)
        .map(|event| (event.wallet_id.0, event))
        .collect()
}

/// Keeps the batch's entries and other replicas' erasures apart until the transaction ends, and finds the events (by
/// id) whose personal data has already been erased from the other side.
pub(super) async fn exclude(
    db: &mut PgConnection,
    events: &[Projected],
    erasures: &Erasures<'_>,
) -> sqlx::Result<HashSet<Uuid>> {
    let exposed: Vec<(Uuid, OtherLeg)> = events
        .iter()
        .filter(|projected| projected.personal.is_some())
        .filter_map(|projected| Some((projected.event.event_id, projected.data.effect().other?)))
        .collect();
    // A set is sorted, as the lock order requires.
    let counterparties: BTreeSet<Uuid> = exposed.iter().map(|(_, other)| other.wallet_id.0).collect();
    let counterparties: Vec<Uuid> = counterparties.into_iter().collect();
    if !erasures.is_empty() {
        sqlx::query(LOCK_ALL).execute(&mut *db).await?;
        let erased: Vec<Uuid> = erasures.keys().copied().collect();
        sqlx::query(LOCK).bind(erased).execute(&mut *db).await?;
    } else if counterparties.len() > FEW {
        sqlx::query(LOCK_ALL_SHARED).execute(&mut *db).await?;
    } else if !counterparties.is_empty() {
        sqlx::query(LOCK_SHARED)
            .bind(&counterparties)
            .execute(&mut *db)
            .await?;
    }
    if counterparties.is_empty() {
        return Ok(HashSet::new());
    }
    let erased: Vec<(Uuid, i32, i64)> = sqlx::query_as(ERASED).bind(&counterparties).fetch_all(db).await?;
    let erased: HashMap<Uuid, (i32, i64)> = erased
        .into_iter()
        .map(|(wallet_id, partition, seq)| (wallet_id, (partition, seq)))
        .collect();
    let is_erased = |other: OtherLeg| {
        erased.get(&other.wallet_id.0).is_some_and(|(partition, seq)| {
            other.position.partition.0 == *partition && other.position.seq <= *seq
        })
    };
    Ok(exposed
        .into_iter()
        .filter(|(_, other)| is_erased(*other))
        .map(|(event_id, _)| event_id)
        .collect())
}

/// Empties the wallets' rows. The batch's own changes to these wallets are written afterwards, as they are after its
/// own erasures: some of them may be newer.
pub(super) async fn empty_wallets(db: &mut PgConnection, erasures: &Erasures<'_>) -> sqlx::Result<()> {
    if erasures.is_empty() {
        return Ok(());
    }
    let wallets: Vec<Uuid> = erasures.keys().copied().collect();
    sqlx::query(WALLETS).bind(wallets).execute(db).await?;
    Ok(())
}

/// Erases from the entries. All entries up to the erasures have been written, in this transaction or earlier.
pub(super) async fn apply(db: &mut PgConnection, erasures: &Erasures<'_>) -> sqlx::Result<()> {
    if erasures.is_empty() {
        return Ok(());
    }
    let wallets: Vec<Uuid> = erasures.keys().copied().collect();
    let mut after = 0;
    loop {
        let (due, versions): (Vec<Uuid>, Vec<i64>) = erasures
            .values()
            .filter(|event| event.version > after)
            .map(|event| (event.wallet_id.0, event.version.min(after + STRIDE)))
            .unzip();
        if due.is_empty() {
            break;
        }
        for statement in [OWN_ENTRIES, OTHER_ENTRIES] {
            sqlx::query(statement)
                .bind(&due)
                .bind(&versions)
                .bind(after)
                .execute(&mut *db)
                .await?;
        }
        after += STRIDE;
    }
    let seqs: Vec<i64> = erasures.values().map(|event| event.seq).collect();
    sqlx::query(OTHERS_OF_PARKED)
        .bind(&wallets)
        .bind(&seqs)
        .execute(&mut *db)
        .await?;
    sqlx::query(REMEMBER)
        .bind(&wallets)
        .bind(column(erasures.values(), |event| event.partition.0))
        .bind(&seqs)
        .execute(db)
        .await?;
    Ok(())
}
