//! Stored answers against the events they describe: a changed answer would tell a retrying client of something that
//! never happened. Rejections and fingerprints describe no event and cannot be compared.
//!
//! An answer describes its caller's own events, except for named movements: whoever repeats one gets the first caller's
//! answer.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use sqlx::{FromRow, PgConnection, postgres::PgRow};
use uuid::Uuid;
use wallex_domain::{Position, Positions};

use super::begin;
use super::record::{self, Record};
use super::report::{Kind, Report};
use crate::append::Answer;
use crate::packed::Unreadable;
use crate::read;

/// Answers per statement: the answer to a batch may have a thousand parts.
const CHUNK: i64 = 100;

pub const ANSWERS: &str = "SELECT caller, key, slot, status, packed, body, etag, position, location FROM journal.answer \
    WHERE (caller, key, slot) > ($1, $2, $3) ORDER BY caller, key, slot LIMIT $4";

#[derive(FromRow)]
struct Stored {
    caller: String,
    key: String,
    slot: i16,
    #[sqlx(flatten)]
    given: Given,
}

/// What a client was told, wherever it is stored.
pub(super) struct Given(Result<Answer, Unreadable>);

impl FromRow<'_, PgRow> for Given {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        match Answer::from_row(row) {
            Err(sqlx::Error::Decode(error)) => {
                Ok(Self(Err(*error.downcast().map_err(sqlx::Error::Decode)?)))
            }
            answer => Ok(Self(Ok(answer?))),
        }
    }
}

/// The parts of it that are compared.
pub(super) struct Told {
    claims: Vec<Claim>,
    /// The positions in its header; `None` if there are none or they cannot be read.
    positions: Option<Positions>,
}

/// What an answer says about one wallet after its event.
struct Claim {
    position: Position,
    transaction_id: Option<Uuid>,
    amount: Option<i64>,
    wallet_id: Option<Uuid>,
    version: Option<i64>,
    balance: Option<i64>,
    currency: Option<String>,
    /// Set for the event whose time the answer gives: the first.
    recorded_at: Option<i64>,
}

/// What surrounds a claim in the body.
#[derive(Clone, Copy, Default)]
struct Around {
    transaction_id: Option<Uuid>,
    amount: Option<i64>,
    recorded_at: Option<i64>,
}

pub(super) async fn check(db: &mut PgConnection, report: &mut Report) -> sqlx::Result<()> {
    let mut after = (String::new(), String::new(), -1_i16);
    loop {
        let mut page = begin(&mut *db, read::BEGIN).await?;
        let answers: Vec<Stored> = sqlx::query_as(ANSWERS)
            .bind(&after.0)
            .bind(&after.1)
            .bind(after.2)
            .bind(CHUNK)
            .fetch_all(&mut *page)
            .await?;
        page.commit().await?;
        let Some(last) = answers.last() else { return Ok(()) };
        after = (last.caller.clone(), last.key.clone(), last.slot);
        let told: Vec<Told> = answers.iter().map(|answer| answer.given.told()).collect();
        let named: BTreeSet<(i32, i64)> = told
            .iter()
            .flat_map(Told::named)
            .map(|at| (at.partition.0, at.seq))
            .collect();
        let named: Vec<Position> = named
            .into_iter()
            .map(|(partition, seq)| Position::at(partition, seq))
            .collect();
        let records = record::at(&mut *db, &named).await?;
        for (answer, told) in answers.iter().zip(&told) {
            if let Some(fault) = answer.given.fault(told, &answer.caller, &records) {
                report.add(Kind::Answer, || {
                    format!(
                        "the answer stored for key {:?} of {} {fault}",
                        answer.key, answer.caller
                    )
                });
            }
        }
        report.progress("stored answers");
    }
}

impl Told {
    /// The events that it refers to, in its header and in its body.
    fn named(&self) -> impl Iterator<Item = Position> {
        let claimed = self.claims.iter().map(|claim| claim.position);
        self.in_header().iter().copied().chain(claimed)
    }

    /// In header order.
    pub(super) fn in_header(&self) -> &[Position] {
        self.positions
            .as_ref()
            .map(|positions| &positions.0[..])
            .unwrap_or_default()
    }
}

impl Given {
    pub(super) fn told(&self) -> Told {
        let mut claims = Vec::new();
        let mut positions = None;
        if let Ok(answer) = &self.0 {
            if let Ok(body) = serde_json::from_slice::<Value>(&answer.body) {
                collect(&body, Around::default(), &mut claims);
            }
            positions = answer.position.as_deref().and_then(|text| text.parse().ok());
        }
        Told { claims, positions }
    }

    /// What is wrong with it, if anything.
    pub(super) fn fault(
        &self,
        told: &Told,
        caller: &str,
        records: &HashMap<Position, Record>,
    ) -> Option<String> {
        let answer = match &self.0 {
            Ok(answer) => answer,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        if answer.position.is_some() && told.positions.is_none() {
            return Some("has a position that is none".to_owned());
        }
        let positions = told.in_header();
        for at in told.named() {
            match records.get(&at) {
                None => return Some(format!("speaks of {at}, which the journal does not have")),
                Some(record) if record.actor != caller && !record.is_named() => {
                    return Some(format!("speaks of {at}, which is another caller's"));
                }
                Some(_) => {}
            }
        }
        if told.named().next().is_some() && !(200..300).contains(&answer.status) {
            return Some(format!("has status {} and speaks of events", answer.status));
        }
        let claimed = |at: &Position| told.claims.iter().any(|claim| claim.position == *at);
        if !positions.iter().all(claimed) {
            return Some("names other positions in its header than in its body".to_owned());
        }
        let wrong = told.claims.iter().find(|claim| {
            records
                .get(&claim.position)
                .is_some_and(|record| !claim.is_true_of(record))
        });
        if let Some(claim) = wrong {
            return Some(format!("does not say what event {} says", claim.position));
        }
        let first = positions.first().and_then(|at| records.get(at))?;
        let etag = |etag: &String| *etag != format!("\"{}\"", first.version);
        if answer.etag.as_ref().is_some_and(etag) {
            return Some("has an ETag that is not the wallet's version".to_owned());
        }
        let location = answer
            .location
            .as_ref()
            .filter(|location| !is_of(first, location))?;
        Some(format!("leads to {location}, which is not of its event"))
    }
}

/// Whether the last segment of a location names the event's transaction, wallet or hold.
fn is_of(record: &Record, location: &str) -> bool {
    let hold = record.data.as_ref().and_then(|data| Some(data.effect().hold?.id));
    let names = [
        Some(record.transaction_id),
        Some(record.wallet_id.0),
        hold.map(|hold| hold.0),
    ];
    let last = location
        .rsplit('/')
        .next()
        .and_then(|last| last.parse::<Uuid>().ok());
    last.is_some() && names.contains(&last)
}

impl Claim {
    fn is_true_of(&self, record: &Record) -> bool {
        let Some(data) = &record.data else { return true };
        let same = |claimed: Option<i64>, is: i64| claimed.is_none_or(|claimed| claimed == is);
        self.transaction_id.is_none_or(|id| id == record.transaction_id)
            && self.wallet_id.is_none_or(|id| id == record.wallet_id.0)
            && same(self.version, record.version)
            && same(self.balance, data.balance())
            && same(self.amount, data.amount())
            && same(self.recorded_at, record.recorded_at)
            && self
                .currency
                .as_ref()
                .is_none_or(|currency| currency == data.currency().as_str())
    }
}

/// Every object with a position is a wallet after its event; the transaction is that of an enclosing object.
fn collect(value: &Value, around: Around, claims: &mut Vec<Claim>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, around, claims)),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let id = |name: &str| text(name).and_then(|text| text.parse().ok());
            let number = |name: &str| fields.get(name).and_then(whole);
            let position = text("position").and_then(|text| text.parse::<Position>().ok());
            if let Some(position) = position {
                claims.push(Claim {
                    position,
                    transaction_id: around.transaction_id,
                    amount: around.amount,
                    recorded_at: around.recorded_at,
                    wallet_id: id("id"),
                    version: number("version"),
                    balance: number("balance"),
                    currency: text("currency").map(str::to_owned),
                });
                return;
            }
            let inner = match id("transaction_id") {
                None => around,
                transaction_id => Around {
                    transaction_id,
                    amount: number("amount"),
                    recorded_at: text("recorded_at").and_then(micros),
                },
            };
            for (name, field) in fields {
                // An answer's time is that of its first event.
                let recorded_at = inner.recorded_at.filter(|_| name != "to");
                collect(field, Around { recorded_at, ..inner }, claims);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A whole number, possibly written as text.
fn whole(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn micros(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_microsecond)
}
