//! A movement between two wallets is two events, written in one transaction: each names the other, and both say the
//! same about it. If one leg took money that the other did not give, money would be created or lost without a broken
//! hash.

use sqlx::PgConnection;
use wallex_domain::{EventData, OtherLeg, Position};

use super::record::{self, Record};
use super::report::{Kind, Report};
use crate::Event;

/// Looks up the other leg of every movement in `events`.
pub(super) async fn check(
    db: &mut PgConnection,
    events: &[(Event, EventData)],
    report: &mut Report,
) -> sqlx::Result<()> {
    let legs: Vec<(&Event, &EventData, OtherLeg)> = events
        .iter()
        .filter_map(|(event, data)| Some((event, data, data.effect().other?)))
        .collect();
    let named: Vec<Position> = legs.iter().map(|(.., other)| other.position).collect();
    let records = record::at(&mut *db, &named).await?;
    for (event, data, other) in legs {
        let at = event.position();
        match records.get(&other.position) {
            None => report.add(Kind::Leg, || {
                format!("{at} names {} as its other leg, which is missing", other.position)
            }),
            Some(record) if !mirrors(event, data, other, record) => report.add(Kind::Leg, || {
                format!("{at} and {} are not the two legs of one movement", other.position)
            }),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether `record` is what `event` says its other leg is, and says the same about `event`.
fn mirrors(event: &Event, data: &EventData, other: OtherLeg, record: &Record) -> bool {
    let Some(theirs) = &record.data else { return false };
    let own = OtherLeg {
        wallet_id: event.wallet_id,
        position: event.position(),
    };
    let pays = data.effect().pays();
    let (paid, got) = if pays { (data, theirs) } else { (theirs, data) };
    record.transaction_id == event.transaction_id
        && record.wallet_id == other.wallet_id
        && theirs.effect().other == Some(own)
        && theirs.amount() == data.amount()
        && theirs.currency() == data.currency()
        && theirs.movement_id() == data.movement_id()
        && paid.kind().received_as() == Some(got.kind())
        && stands_where_it_says(data, event.position())
        && stands_where_it_says(theirs, other.position)
}

/// A transfer's leg carries its own position, too.
fn stands_where_it_says(data: &EventData, at: Position) -> bool {
    data.effect().position.is_none_or(|position| position == at)
}
