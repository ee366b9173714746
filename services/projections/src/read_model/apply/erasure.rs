//! Erasure of a wallet's personal data: from its row, from its entries up to the erasure, and from the other
//! side's entries of the same transactions.
//!
//! The other side is written by another partition's owner, maybe at this moment. Why nothing escapes:
//!
//! ```text
//! a batch that writes personal data beside a counterparty     a batch that erases
//! 1 lock the counterparties, shared                           1 lock all erasures, then its wallets, exclusive
//! 2 look which of them have been erased (read_model.erasure)  2 write its own entries
//! 3 write the entries, erased ones without the data           3 erase; write read_model.erasure
//! 4 COMMIT, which gives the locks back                        4 COMMIT
//! ```
//! Whichever comes second waits for the other's commit and then sees its rows, because each statement sees what
//! was committed when it began (READ COMMITTED, see applier::BEGIN). Locks are advisory ones of the transaction.
//!
//! No deadlock: batches that erase come one after the other (they update rows of each other's wallets), and wallets are
//! locked in one order.
//!
//! The invariant: once an erasure is committed, no entry of before it has personal data of its wallet, on neither side.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{EventKind, OtherLeg};
use wallex_journal::Event;

use crate::projection::Projected;

/// Counterparties that one batch locks one by one at most. With more, it locks out all erasures by one lock: the
/// server's table of locks is small (max_locks_per_transaction x max_connections) and everybody's.
const FEW: usize = 256;

/// Versions of a wallet that one statement erases: a wallet with a million entries is erased in the
/// batch's transaction, but no statement nears its time limit.
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

// What is not compared by `=` cannot choose an index: the entries of one transaction are few, those of one wallet,
// or of two that deal with each other all day, are not.
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

// Legs that were parked have no entries to find the other side by.
const OTHERS_OF_PARKED: &str = "
UPDATE read_model.entry other
   SET description = NULL, metadata = NULL
  FROM unnest($1::uuid[], $2::bigint[]) AS erased (wallet_id, seq)
  JOIN read_model.parked own ON own.wallet_id = erased.wallet_id AND own.seq <= erased.seq
 WHERE other.transaction_id = own.transaction_id
   AND other.counterparty IS NOT DISTINCT FROM own.wallet_id
   AND (other.description IS NOT NULL OR other.metadata IS NOT NULL)";

// Never back: a read model that is filled anew may find the row of an erasure to come.
const REMEMBER: &str = "
INSERT INTO read_model.erasure AS known (wallet_id, partition, seq)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::bigint[])
ON CONFLICT (wallet_id) DO UPDATE
   SET partition = excluded.partition, seq = greatest(known.seq, excluded.seq)";

/// The last erasure of each wallet in a batch.
pub(super) type Erasures<'a> = BTreeMap<Uuid, &'a Event>;

/// `parked` events are not applied, but what was erased is personal whatever else is wrong with the wallet. Such an event
/// may be unreadable: that it erases, which is all there is to it, its type says.
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

/// Keeps the batch's entries and other replicas' erasures apart until the transaction ends, and finds the events
/// (by id) whose personal data has been erased from the other side already.
pub(super) async fn exclude(
    db: &mut PgConnection,
    events: &[Projected],
    erasures: &Erasures<'_>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let exposed: Vec<(Uuid, OtherLeg)> = events
        .iter()
        .filter(|projected| projected.personal.is_some())
        .filter_map(|projected| Some((projected.event.event_id, projected.data.effect().other?)))
        .collect();
    // A set is in order, as the locks have to be.
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

/// Empties the wallets' rows. What a batch says of its wallets is written afterwards, as it stands after its own erasures:
/// some of it may be newer.
pub(super) async fn empty_wallets(db: &mut PgConnection, erasures: &Erasures<'_>) -> Result<(), sqlx::Error> {
    if erasures.is_empty() {
        return Ok(());
    }
    let wallets: Vec<Uuid> = erasures.keys().copied().collect();
    sqlx::query(WALLETS).bind(wallets).execute(db).await?;
    Ok(())
}

/// Erases from the entries. All of them up to the erasures have been written, in this transaction or before.
pub(super) async fn apply(db: &mut PgConnection, erasures: &Erasures<'_>) -> Result<(), sqlx::Error> {
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
        .bind(
            erasures
                .values()
                .map(|event| event.partition.0)
                .collect::<Vec<_>>(),
        )
        .bind(&seqs)
        .execute(db)
        .await?;
    Ok(())
}
