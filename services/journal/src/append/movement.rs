//! Movements with a name of the caller's own (`external_id`), which is unique for good: sent again they get the answer
//! that the first one got, years later and under any idempotency key; another movement under the name is refused.
//!
//! The invariant: a name is kept exactly when its movement is, in the same transaction. Two writers that keep one name at
//! the same moment collide on the table's key; the loser runs again and finds the winner's row.

use bytes::Bytes;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{Command, Hash, Rejection};

use super::request::{Answer, Committed, Item};
use super::staging::Staging;
use super::statements::column;
use crate::content::Content;
use crate::personal::Sealed;
use crate::read::hash_column;

/// A movement that has its name already.
#[derive(Debug, Clone)]
pub(super) struct Named {
    transaction_id: Uuid,
    /// The transaction's first event.
    event_id: Uuid,
    content: Hash,
    personal: Personal,
    answer: Answer,
    /// Kept by this batch, so still to be written.
    new: bool,
}

/// Description and metadata of a movement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Personal {
    Nothing,
    Kept(Bytes),
    /// There was something; nobody can tell what.
    Erased,
}

impl Personal {
    fn of(sealed: Option<&Sealed>) -> Self {
        sealed.map_or(Self::Nothing, |sealed| Self::Kept(sealed.data.clone()))
    }

    /// Whether `sent` may be what there was.
    fn allows(&self, sent: &Self) -> bool {
        *self == Self::Erased || self == sent
    }
}

impl Staging {
    /// What a movement is answered whose name is taken: the first one's answer when it is the same, otherwise a refusal.
    pub(super) fn named_before(&self, item: &Item) -> Option<Result<Answer, Rejection>> {
        let external_id = item.command.movement_id()?;
        let named = self.loaded.movements.get(external_id)?;
        let same = Content::of(&item.command).is_some_and(|content| content.hash() == named.content)
            && named.personal.allows(&Personal::of(item.personal.as_ref()));
        Some(if same {
            Ok(named.answer.clone())
        } else {
            Err(Rejection::MovementTaken {
                external_id: external_id.to_owned(),
                transaction_id: named.transaction_id,
            })
        })
    }

    /// Keeps the name of a movement that has just been recorded, with its answer.
    pub(super) fn keep_name(&mut self, item: &Item, committed: &Committed, answer: &Answer) {
        let (Some(external_id), Some(content)) = (item.command.movement_id(), Content::of(&item.command))
        else {
            return;
        };
        let transaction_id = committed.transaction_id;
        let own = self.events.iter().rev();
        let first = own
            .take_while(|event| event.transaction_id == transaction_id)
            .last();
        let Some(event_id) = first.map(|event| event.event_id) else {
            return;
        };
        let named = Named {
            transaction_id,
            event_id,
            content: content.hash(),
            personal: Personal::of(item.personal.as_ref()),
            answer: answer.clone(),
            new: true,
        };
        if let Some(undo) = &mut self.undo {
            undo.movements.push(external_id.to_owned());
        }
        self.loaded.movements.insert(external_id.to_owned(), named);
    }
}

pub(super) const LOAD_MOVEMENTS: &str = "SELECT m.external_id, m.transaction_id, m.event_id, m.content, m.has_personal, \
    p.data, m.status, m.body, m.etag, m.position, m.location \
    FROM journal.movement m LEFT JOIN journal.personal p ON p.event_id = m.event_id WHERE m.external_id = ANY($1)";

/// Of the names in `commands` those that are taken.
pub(super) async fn load<'a>(
    db: &mut PgConnection,
    commands: impl Iterator<Item = &'a Command>,
) -> Result<Vec<(String, Named)>, sqlx::Error> {
    let external_ids: Vec<&str> = commands.filter_map(Command::movement_id).collect();
    if external_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(LOAD_MOVEMENTS)
        .bind(external_ids)
        .fetch_all(db)
        .await?;
    rows.iter().map(named_from_row).collect()
}

fn named_from_row(row: &PgRow) -> Result<(String, Named), sqlx::Error> {
    let personal = match (
        row.try_get("has_personal")?,
        row.try_get::<Option<Vec<u8>>, _>("data")?,
    ) {
        (false, _) => Personal::Nothing,
        (true, Some(data)) => Personal::Kept(data.into()),
        (true, None) => Personal::Erased,
    };
    let named = Named {
        transaction_id: row.try_get("transaction_id")?,
        event_id: row.try_get("event_id")?,
        content: hash_column(row, "content")?,
        personal,
        answer: Answer {
            // Written from a u16 below 600.
            status: row.try_get::<i16, _>("status")? as u16,
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
            etag: row.try_get("etag")?,
            position: row.try_get("position")?,
            location: row.try_get("location")?,
        },
        new: false,
    };
    Ok((row.try_get("external_id")?, named))
}

const INSERT_MOVEMENTS: &str = "
INSERT INTO journal.movement (external_id, transaction_id, event_id, content, has_personal, status, body, etag, position,
    location)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bytea[], $5::boolean[], $6::smallint[], $7::bytea[],
    $8::text[], $9::text[], $10::text[])";

/// The names that the batch keeps, in their order: batches that meet on a name wait instead of deadlocking.
pub(super) async fn write(db: &mut PgConnection, staging: &Staging) -> Result<(), sqlx::Error> {
    let movements = staging.loaded.movements.iter();
    let mut new: Vec<(&String, &Named)> = movements.filter(|(_, named)| named.new).collect();
    if new.is_empty() {
        return Ok(());
    }
    new.sort_unstable_by_key(|(external_id, _)| *external_id);
    let named = || new.iter().map(|(_, named)| *named);
    let answers = || named().map(|named| &named.answer);
    sqlx::query(INSERT_MOVEMENTS)
        .bind(column(&new, |(external_id, _)| external_id.as_str()))
        .bind(column(named(), |named| named.transaction_id))
        .bind(column(named(), |named| named.event_id))
        .bind(column(named(), |named| &named.content.0[..]))
        .bind(column(named(), |named| named.personal != Personal::Nothing))
        .bind(column(answers(), |answer| answer.status as i16))
        .bind(column(answers(), |answer| &answer.body[..]))
        .bind(column(answers(), |answer| answer.etag.as_deref()))
        .bind(column(answers(), |answer| answer.position.as_deref()))
        .bind(column(answers(), |answer| answer.location.as_deref()))
        .execute(db)
        .await?;
    Ok(())
}
