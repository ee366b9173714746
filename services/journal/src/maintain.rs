//! The upkeep of stored answers: a ring of three time slots, each emptied whole once its youngest answer
//! has passed the retention. Emptying late costs space; it never shortens what was promised.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};

/// How many slots the ring has, as the schema creates them.
pub const SLOTS: i64 = 3;

/// How long answers are kept at least.
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

    /// How long a slot takes new answers. A slot is written for one period and then rests for two before
    /// its turn comes again. 4/7 of the retention leaves maintenance the last seventh of that rest
    /// (7 days kept: periods of 4 days, and one whole day to empty the slot in).
    fn period_micros(self) -> i64 {
        (self.micros() / 7).saturating_mul(4).max(1)
    }

    /// The slot that an answer of this time belongs to.
    pub fn slot(self, recorded_at: i64) -> i16 {
        // A remainder of three fits.
        recorded_at.div_euclid(self.period_micros()).rem_euclid(SLOTS) as i16
    }

    /// Whether all answers that a slot took in its turn are past the retention, going by the time alone.
    fn is_due(self, slot: i16, now: i64) -> bool {
        let period = now.div_euclid(self.period_micros());
        let turns_ago = (period - i64::from(slot)).rem_euclid(SLOTS);
        let rests_since = (period - turns_ago + 1) * self.period_micros();
        turns_ago > 0 && now - rests_since > self.micros()
    }
}

/// Empties every slot other than the one in use whose youngest answer is older than the retention.
/// Waits at most `lock_timeout` for each; returns the slots that were emptied.
pub async fn empty_expired_slots(
    db: &PgPool,
    retention: Retention,
    lock_timeout: Duration,
) -> Result<Vec<i16>, sqlx::Error> {
    let mut emptied = Vec::new();
    for slot in 0..SLOTS as i16 {
        let begin = format!("BEGIN; SET LOCAL lock_timeout = {}", lock_timeout.as_millis());
        let mut tx = wallex_postgres::begin(db, AssertSqlSafe(begin)).await?;
        // Locked first, looked at second: nobody adds an answer between the two.
        let lock = format!("LOCK TABLE journal.answer_{slot} IN ACCESS EXCLUSIVE MODE");
        if !has_expired(&mut tx, slot, retention).await? {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *tx).await?;
        if has_expired(&mut tx, slot, retention).await? {
            sqlx::raw_sql(AssertSqlSafe(format!("TRUNCATE journal.answer_{slot}")))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            emptied.push(slot);
        }
    }
    Ok(emptied)
}

async fn has_expired(
    db: &mut sqlx::PgConnection,
    slot: i16,
    retention: Retention,
) -> Result<bool, sqlx::Error> {
    let now: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        .fetch_one(&mut *db)
        .await?;
    if !retention.is_due(slot, now) {
        return Ok(false);
    }
    // The rows have the last word: after missed maintenance or a changed retention a slot may hold younger
    // answers. This reads the whole slot, but only when it is due, and then it is emptied.
    let statement = format!("SELECT max(created_at) FROM journal.answer_{slot}");
    let youngest: Option<i64> = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(db).await?;
    Ok(youngest.is_some_and(|youngest| now - youngest > retention.micros()))
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
