//! The upkeep of stored answers: a ring of three time slots, each emptied as a whole once its youngest answer is past
//! the retention. Emptying late costs space; it never shortens the promised retention.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use wallex_postgres::SqlState;

/// The number of slots in the ring, as the schema creates them.
pub const SLOTS: i64 = 3;

/// Pages read by one statement: 16 MB, so that no snapshot is held for long and no writer waits for the slot for long.
/// Each read is followed by an equally long pause, because commits need the same disk.
const PAGES: i64 = 2_048;
/// How long commands may wait behind the hard lock, per try.
const HARD_LOCK: Duration = Duration::from_millis(50);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// Tries before the slot counts as busy: a minute at most.
const TRIES: usize = 400;

/// The minimum time for which answers are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention(Duration);

impl Default for Retention {
    /// Seven days.
    fn default() -> Self {
        Self(Duration::from_secs(7 * 24 * 3600))
    }
}

impl Retention {
    pub fn new(keep: Duration) -> Self {
        Self(keep)
    }

    fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros())
            .unwrap_or(i64::MAX / SLOTS)
            .max(1)
    }

    /// How long a slot takes new answers. It is written for one period and then rests for two before its next turn. 4/7
    /// of the retention leaves maintenance the last seventh of that rest (7 days kept: periods of 4 days, and one whole
    /// day to empty the slot).
    fn period_micros(self) -> i64 {
        (self.micros() / 7).saturating_mul(4).max(1)
    }

    /// The slot that an answer of this time belongs to.
    pub fn slot(self, recorded_at: i64) -> i16 {
        // The remainder of a division by three fits.
        recorded_at.div_euclid(self.period_micros()).rem_euclid(SLOTS) as i16
    }

    /// Whether all answers that a slot took in its turn are past the retention, judging by time alone.
    fn is_due(self, slot: i16, now: i64) -> bool {
        let period = now.div_euclid(self.period_micros());
        let turns_ago = (period - i64::from(slot)).rem_euclid(SLOTS);
        let rests_since = (period - turns_ago + 1) * self.period_micros();
        turns_ago > 0 && now - rests_since > self.micros()
    }
}

/// Empties every slot, except the one in use, whose youngest answer is older than the retention. Waits at most
/// `lock_timeout` for each slot to be free of writers; returns the emptied slots.
///
/// A slot may be many gigabytes. It is read under a lock that allows lookups and writes to other slots; this gives way
/// at once to anyone who wants to write to the slot itself. Since nothing was added meanwhile, the hard lock is needed
/// only to drop the rows, which takes equally long for many rows as for few.
pub async fn empty_expired_slots(
    db: &PgPool,
    retention: Retention,
    lock_timeout: Duration,
) -> sqlx::Result<Vec<i16>> {
    let mut emptied = Vec::new();
    for slot in 0..SLOTS as i16 {
        let mut tx = wallex_postgres::begin(db, "BEGIN").await?;
        if !retention.is_due(slot, now(&mut tx).await?) {
            continue;
        }
        run(
            &mut tx,
            format!(
                "SET LOCAL lock_timeout = {}; LOCK TABLE journal.answer_{slot} IN SHARE MODE; \
                 SET LOCAL lock_timeout = {}",
                lock_timeout.as_millis(),
                HARD_LOCK.as_millis()
            ),
        )
        .await?;
        if has_expired(&mut tx, slot, retention).await? && lock_hard(&mut tx, slot).await? {
            run(&mut tx, format!("TRUNCATE journal.answer_{slot}")).await?;
            tx.commit().await?;
            emptied.push(slot);
        }
    }
    Ok(emptied)
}

/// Whether the slot, which nobody writes to, has answers, all of them past the retention. The rows decide: after missed
/// maintenance or a changed retention, a slot may hold younger answers. Also `false` if somebody is waiting to write to
/// it.
async fn has_expired(db: &mut PgConnection, slot: i16, retention: Retention) -> sqlx::Result<bool> {
    let size =
        format!("SELECT pg_relation_size('journal.answer_{slot}') / current_setting('block_size')::bigint");
    let pages: i64 = sqlx::query_scalar(AssertSqlSafe(size))
        .fetch_one(&mut *db)
        .await?;
    let youngest = format!(
        "SELECT max(created_at) FROM journal.answer_{slot} \
         WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid"
    );
    let mut any = false;
    for first in (0..pages).step_by(PAGES as usize) {
        let began = Instant::now();
        let youngest: Option<i64> = sqlx::query_scalar(AssertSqlSafe(youngest.as_str()))
            .bind(first)
            .bind(first + PAGES)
            .fetch_one(&mut *db)
            .await?;
        if let Some(youngest) = youngest {
            any = true;
            if now(db).await? - youngest <= retention.micros() {
                return Ok(false);
            }
        }
        if is_waited_for(db, slot).await? {
            tracing::warn!(
                slot,
                "a slot whose turn is over still receives answers: left alone"
            );
            return Ok(false);
        }
        tokio::time::sleep(began.elapsed()).await;
    }
    Ok(any)
}

/// Whoever waits for the lock wants to write.
async fn is_waited_for(db: &mut PgConnection, slot: i16) -> sqlx::Result<bool> {
    let waited = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'journal.answer_{slot}'::regclass \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND mode = 'RowExclusiveLock')"
    );
    sqlx::query_scalar(AssertSqlSafe(waited)).fetch_one(db).await
}

/// Takes the lock that shuts everybody out, in tries so short that those queuing behind it hardly notice. The weaker
/// lock, held throughout, keeps writers away.
async fn lock_hard(db: &mut PgConnection, slot: i16) -> sqlx::Result<bool> {
    let lock = format!("SAVEPOINT hard; LOCK TABLE journal.answer_{slot} IN ACCESS EXCLUSIVE MODE");
    let mut tries = 0;
    loop {
        let error = match run(db, lock.clone()).await {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        tries += 1;
        if SqlState::of(&error) != Some(SqlState::LOCK_NOT_AVAILABLE) || tries >= TRIES {
            return Err(error);
        }
        run(db, "ROLLBACK TO SAVEPOINT hard".to_owned()).await?;
        if is_waited_for(db, slot).await? {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn now(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .fetch_one(db)
        .await
}

async fn run(db: &mut PgConnection, statements: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1_000_000;

    #[test]
    fn an_answer_outlives_the_retention_before_its_slot_comes_round_again() {
        let retention = Retention::new(Duration::from_secs(7 * 24 * 3600));
        let written = 1_000 * DAY;
        let slot = retention.slot(written);
        let due = (0..)
            .map(|hour| written + hour * DAY / 24)
            .find(|t| retention.is_due(slot, *t));
        assert!(
            due.unwrap_or_default() - written >= 7 * DAY,
            "not emptied before its time"
        );
        let left = (0..)
            .map(|day| written + day * DAY)
            .find(|t| retention.slot(*t) != slot);
        let again = (0..)
            .map(|day| left.unwrap_or_default() + day * DAY)
            .find(|t| retention.slot(*t) == slot)
            .unwrap_or_default();
        assert!(
            again - left.unwrap_or_default() >= 8 * DAY,
            "seven days kept, a day to empty the slot in"
        );
    }
}
