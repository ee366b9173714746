//! `journal.movement` against the events: the permanent names of movements. If a name were missing or led elsewhere,
//! its movement could be made a second time, or a repeat would get another movement's answer.
//!
//! Both ways, and without a snapshot: a name is written with its events and neither is ever removed, so whoever has
//! seen one finds the other.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{EventData, Hash, Position};

use super::answers::Given;
use super::begin;
use super::record::{self, Record};
use super::report::{Kind, Report};
use crate::Event;
use crate::content::Content;
use crate::read::{self, hash_column};

/// Names per statement: each comes with an answer and with its transaction's events.
const CHUNK: i64 = 500;

const TRANSACTIONS: &str =
    "SELECT external_id, transaction_id FROM journal.movement WHERE external_id = ANY($1)";

pub const ROWS: &str = "SELECT external_id, transaction_id, event_id, content, has_personal, status, packed, body, etag, \
    position, location FROM journal.movement WHERE external_id > $1 ORDER BY external_id LIMIT $2";

/// Every event that carries a name has a row, and the row leads to its transaction.
pub(super) async fn check_named(
    db: &mut PgConnection,
    events: &[(Event, EventData)],
    report: &mut Report,
) -> sqlx::Result<()> {
    let named: Vec<(&Event, &str)> = events
        .iter()
        .filter_map(|(event, data)| Some((event, data.movement_id()?)))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = named.iter().map(|(_, name)| *name).collect();
    let rows: Vec<(String, Uuid)> = sqlx::query_as(TRANSACTIONS).bind(names).fetch_all(db).await?;
    let rows: HashMap<String, Uuid> = rows.into_iter().collect();
    for (event, name) in named {
        let at = event.position();
        match rows.get(name) {
            None => report.add(Kind::Movement, || {
                format!("{at} has the external id {name:?}, of which journal.movement has no row")
            }),
            Some(id) if *id != event.transaction_id => report.add(Kind::Movement, || {
                format!("{at} has the external id {name:?}, which journal.movement has for transaction {id}")
            }),
            Some(_) => {}
        }
    }
    Ok(())
}

/// A row of `journal.movement`.
struct Name {
    external_id: String,
    transaction_id: Uuid,
    event_id: Uuid,
    content: Hash,
    has_personal: bool,
    answer: Given,
}

impl FromRow<'_, PgRow> for Name {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            external_id: row.try_get("external_id")?,
            transaction_id: row.try_get("transaction_id")?,
            event_id: row.try_get("event_id")?,
            content: hash_column(row, "content")?,
            has_personal: row.try_get("has_personal")?,
            answer: Given::from_row(row)?,
        })
    }
}

/// Every row belongs to a movement with that name, and matches the movement's events.
pub(super) async fn check_rows(db: &mut PgConnection, report: &mut Report) -> sqlx::Result<()> {
    let mut after = String::new();
    loop {
        let mut page = begin(&mut *db, read::BEGIN).await?;
        let names: Vec<Name> = sqlx::query_as(ROWS)
            .bind(&after)
            .bind(CHUNK)
            .fetch_all(&mut *page)
            .await?;
        page.commit().await?;
        let Some(last) = names.last() else { return Ok(()) };
        after.clone_from(&last.external_id);
        let transactions: Vec<Uuid> = names.iter().map(|name| name.transaction_id).collect();
        let mut events: HashMap<Uuid, HashMap<Position, Record>> = HashMap::new();
        for record in record::of(&mut *db, &transactions).await? {
            let of = events.entry(record.transaction_id).or_default();
            of.insert(record.position, record);
        }
        let nothing = HashMap::new();
        for name in &names {
            let events = events.get(&name.transaction_id).unwrap_or(&nothing);
            if let Some(fault) = name.fault(events) {
                report.add(Kind::Movement, || {
                    let name = &name.external_id;
                    format!("journal.movement's row of the external id {name:?} {fault}")
                });
            }
        }
        report.progress("external ids of movements");
    }
}

impl Name {
    /// What is wrong with it, if anything, given its transaction's `events`.
    fn fault(&self, events: &HashMap<Position, Record>) -> Option<String> {
        let id = self.transaction_id;
        if events.is_empty() {
            return Some(format!(
                "leads to transaction {id}, which the journal does not have"
            ));
        }
        if events.values().any(|event| event.data.is_none()) {
            // Reported at the event itself; nothing can be said about what depends on it.
            return None;
        }
        let Some((first, contents)) = events.values().find_map(|event| self.first(event)) else {
            return Some(format!(
                "leads to transaction {id}, which has another external id or none"
            ));
        };
        let at = first.position;
        if self.event_id != first.event_id {
            return Some(format!("does not lead to its transaction's first event, {at}"));
        }
        if contents.iter().all(|content| content.hash() != self.content) {
            return Some(format!("is of another content than {at}"));
        }
        let has_personal = first.data.as_ref().is_some_and(|data| data.personal().is_some());
        if self.has_personal != has_personal {
            return Some(format!("does not say whether {at} had personal data"));
        }
        let told = self.answer.told();
        let positions = told.in_header();
        let are_named = || events.keys().all(|position| positions.contains(position));
        if positions.first() != Some(&at) || positions.len() != events.len() || !are_named() {
            return Some("has an answer with other positions than its events'".to_owned());
        }
        let fault = self.answer.fault(&told, &first.actor, events)?;
        Some(format!("has an answer that {fault}"))
    }

    /// The event and what may have been asked for, if it is the first event of a movement with this name.
    fn first<'a>(&self, event: &'a Record) -> Option<(&'a Record, Vec<Content<'a>>)> {
        let data = event.data.as_ref()?;
        let contents = Content::behind(event.wallet_id, data);
        let is_first = data.movement_id() == Some(&self.external_id) && !contents.is_empty();
        is_first.then_some((event, contents))
    }
}
