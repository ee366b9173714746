//! Movements with a name of the caller's own (`external_id`), which is unique for good: a repeat gets the first answer,
//! years later and under any idempotency key; another movement under the name is refused.
//!
//! The invariant: a name is stored exactly if its movement is, in the same transaction. Two writers that store one name
//! at the same moment collide on the table's key; the loser runs again and finds the winner's row.

use wallex_domain::Rejection;

use super::request::{Answer, Committed, Item};
use super::staging::Staging;
use super::state::{Named, Personal};
use crate::content::Content;

impl Staging {
    /// The answer to a movement whose name is taken: the first answer if it is the same movement, otherwise a
    /// rejection.
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

    /// Stores the name of a movement that has just been recorded, with its answer.
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
