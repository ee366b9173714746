//! Decodes the chosen events. Pure.
//!
//! The invariant: an event that this build does not know is never skipped, and one that nobody can read never
//! stops wallets it has nothing to do with.

use std::collections::{BTreeMap, HashSet};

use wallex_domain::{DecodeError, EventData, Mark, Partition, WalletId};
use wallex_journal::Event;
use wallex_projections::Projected;
use wallex_projections::cursor::{Parked, Why};

use super::Step;
use crate::stall::Stall;

/// What became of the chosen events.
#[derive(Default)]
pub(super) struct Decoded {
    pub(super) projected: Vec<Projected>,
    /// Where the cursors move.
    pub(super) moved: BTreeMap<Partition, Mark>,
}

/// Decodes the chosen events. One that this build does not know ends its partition's part. An unusable one is parked,
/// together with the later events of its wallet.
pub(super) fn decode_all(
    events: Vec<Event>,
    mut parked_wallets: HashSet<WalletId>,
    step: &mut Step,
) -> Decoded {
    let mut decoded = Decoded::default();
    for event in events {
        let partition = event.partition;
        if step.stalled.contains_key(&partition) {
            continue;
        }
        let data = match decode(&event) {
            Ok(data) if !parked_wallets.contains(&event.wallet_id) => Ok(data),
            Ok(_) => Err((
                Why::AfterParked,
                "an earlier event of the wallet is parked".to_owned(),
            )),
            Err(Unusable::Corrupt(why, reason)) => Err((why, reason)),
            Err(Unusable::Newer(what)) => {
                step.stalled
                    .insert(partition, Stall::NeedsNewerVersion { partition, what });
                continue;
            }
        };
        decoded.moved.insert(partition, event.mark());
        match data {
            Ok(data) => decoded.projected.push(Projected {
                event,
                data,
                personal: None,
            }),
            Err((why, reason)) => {
                parked_wallets.insert(event.wallet_id);
                step.parked.push(Parked { event, why, reason });
            }
        }
    }
    decoded
}

enum Unusable {
    Newer(String),
    Corrupt(Why, String),
}

/// Decodes an event that comes from the journal.
fn decode(event: &Event) -> Result<EventData, Unusable> {
    if !event.is_authentic() {
        let reason = "its hash does not fit its content".to_owned();
        return Err(Unusable::Corrupt(Why::HashChainBroken, reason));
    }
    event.decode().map_err(|error| match error {
        DecodeError::NeedsNewerVersion { .. } => {
            Unusable::Newer(format!("event {}: {error}", event.position()))
        }
        DecodeError::Corrupt { .. } => Unusable::Corrupt(Why::Unreadable, error.to_string()),
    })
}
