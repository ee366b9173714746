//! Drives the read model by hand: what one replica does in one transaction.

#![allow(unreachable_pub, reason = "tests")]

use sqlx::{Postgres, Transaction};
use uuid::Uuid;
use wallex_journal::{Event, read};
use wallex_projections::{Projected, Projection as _, ReadModel};

use crate::story::Story;

pub async fn projected(story: &Story, events: &[&Event]) -> Vec<Projected> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let mut personal = read::personal(&story.setup.db, &ids).await.unwrap();
    events
        .iter()
        .map(|event| Projected {
            event: (*event).clone(),
            data: event.decode().unwrap(),
            personal: personal.remove(&event.event_id),
        })
        .collect()
}

/// A replica's transaction, applied but not committed.
pub async fn replica(story: &Story, events: &[Projected]) -> Transaction<'static, Postgres> {
    let mut tx = story.setup.db.begin().await.unwrap();
    ReadModel.apply(&mut tx, events, &[]).await.unwrap();
    tx
}
