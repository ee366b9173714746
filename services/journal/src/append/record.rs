//! Turns decisions into events: numbered, chained, and applied to the state that the next decision sees.
//!
//! The invariant: a command's events are recorded all or not at all; whatever can fail comes first.

use uuid::{NoContext, Timestamp, Uuid};
use wallex_domain::{
    Decided, Details, Effect, EventData, Hash, Hold, HoldStatus, Position, Wallet, WalletId,
};

use super::outcome::Defect;
use super::route::Routed;
use super::staging::Staging;
use super::state::Head;
use crate::{Event, personal::Sealed};

/// What the events of one command have in common.
pub(super) struct Cause<'a> {
    pub(super) actor: &'a str,
    pub(super) traceparent: Option<&'a str>,
    pub(super) personal: Option<&'a Sealed>,
}

/// The recorded events of one command.
pub(super) struct Recorded {
    pub(super) transaction_id: Uuid,
    /// Time of the first event: that of the wallet that pays.
    pub(super) recorded_at: i64,
    pub(super) wallets: Vec<(Wallet, Position)>,
}

impl Staging {
    /// Numbers, chains and applies the events of one command. All or nothing: whatever can fail comes first.
    pub(super) fn record(
        &mut self,
        cause: &Cause<'_>,
        routed: Option<&Routed>,
        decided: Vec<Decided>,
    ) -> Result<Recorded, Defect> {
        let mut staged = Vec::with_capacity(decided.len());
        for Decided { wallet_id, event } in decided {
            let before = self.loaded.heads.get(&wallet_id);
            let home = || routed.and_then(|routed| routed.home(wallet_id));
            let partition = before.map(|head| head.partition).or_else(home);
            let partition = partition
                .filter(|partition| self.loaded.partitions.contains_key(partition))
                .ok_or_else(|| Defect(format!("the partition of wallet {wallet_id} is not locked")))?;
            let external_id = match event.created() {
                Some(created) => created.external_id.clone(),
                None => before.and_then(|head| head.external_id.clone()),
            };
            let wallet = Wallet::evolve(before.map(|head| head.wallet.clone()), wallet_id, &event)
                .ok_or_else(|| Defect(format!("{} on wallet {wallet_id}", event.event_type())))?;
            let effect = event.effect();
            let hold = self.hold_after(wallet_id, &event, &effect)?;
            let payload = event.encode().map_err(|error| Defect(error.to_string()))?;
            let head = Head {
                wallet,
                partition,
                external_id,
                loaded_version: before.map_or(0, |head| head.loaded_version),
            };
            staged.push((head, event, effect, hold, payload));
        }
        let time = Timestamp::from_unix(
            NoContext,
            u64::try_from(self.loaded.clock / 1_000_000).unwrap_or(0),
            // Below 10^9.
            ((self.loaded.clock % 1_000_000) * 1_000) as u32,
        );
        let transaction_id = Uuid::new_v7(time);
        let mut recorded_at = None;
        let mut wallets = Vec::with_capacity(staged.len());
        for (head, data, effect, hold, payload) in staged {
            let Some(row) = self.loaded.partitions.get_mut(&head.partition) else {
                continue;
            };
            let mut event = Event {
                event_id: Uuid::new_v7(time),
                transaction_id,
                partition: head.partition,
                seq: row.head.seq + 1,
                wallet_id: head.wallet.id,
                version: head.wallet.version,
                event_type: data.event_type().to_owned(),
                schema_version: data.schema_version(),
                // Time never runs backwards within a partition. A partition whose time is ahead affects only its own
                // events; the rest of the batch must not inherit it.
                recorded_at: row.last_recorded_at.max(self.loaded.clock),
                actor: cause.actor.to_owned(),
                traceparent: cause.traceparent.map(str::to_owned),
                payload: payload.into(),
                prev_hash: row.head.hash,
                hash: Hash::GENESIS,
            };
            event.hash = event.compute_hash();
            (row.head, row.last_recorded_at) = (event.mark(), event.recorded_at);
            recorded_at.get_or_insert(event.recorded_at);
            if let Some(sealed) = cause.personal {
                self.personal
                    .push((event.event_id, event.wallet_id, event.partition, sealed.clone()));
            }
            wallets.push((head.wallet.clone(), event.position()));
            self.note(&event, &effect, hold);
            self.events.push(event);
            self.replace_head(head);
        }
        Ok(Recorded {
            transaction_id,
            recorded_at: recorded_at.unwrap_or(self.loaded.clock),
            wallets,
        })
    }

    /// The hold that an event is about, in its state after the event.
    fn hold_after(
        &self,
        wallet_id: WalletId,
        event: &EventData,
        effect: &Effect,
    ) -> Result<Option<Hold>, Defect> {
        let Some(change) = effect.hold else {
            return Ok(None);
        };
        let before = self.loaded.holds.get(&change.id).cloned();
        let after = Hold::evolve(before, wallet_id, event);
        let defect = || Defect(format!("{} on hold {}", event.event_type(), change.id));
        Ok(Some(after.ok_or_else(defect)?))
    }

    /// Records what an event changes besides its wallet's head. `hold` is the hold that it is about, in its new state.
    fn note(&mut self, event: &Event, effect: &Effect, hold: Option<Hold>) {
        if let Some(hold) = hold {
            let is_open = |hold: &Hold| hold.status == HoldStatus::Open;
            if let (Some(before), Some(expires_at)) = (
                self.loaded.not_due_before.get_mut(&event.wallet_id),
                hold.expires_at,
            ) {
                // Also if it is undone: an earlier time only costs a look.
                *before = (*before).min(expires_at);
            }
            let (id, opened) = (hold.id, i64::from(is_open(&hold)));
            let before = self.loaded.holds.insert(id, hold);
            if let Some(open) = self.loaded.open_holds.get_mut(&event.wallet_id) {
                if let Some(undo) = &mut self.undo {
                    undo.open_holds.entry(event.wallet_id).or_insert(Some(*open));
                }
                *open += opened - i64::from(before.as_ref().is_some_and(is_open));
            }
            self.changed_holds.entry(id).or_insert(before.is_none());
            if let Some(undo) = &mut self.undo {
                undo.holds.entry(id).or_insert(before);
            }
        }
        if let Some((transaction_id, amount)) = effect.takes_back() {
            let before = self.loaded.reversed.get(&transaction_id).copied();
            if let Some(undo) = &mut self.undo {
                undo.reversed.entry(transaction_id).or_insert(before);
            }
            // At most what the transaction moved.
            let reversed = before.unwrap_or(0).saturating_add(amount);
            self.loaded.reversed.insert(transaction_id, reversed);
            self.changed_reversed.insert(transaction_id);
        }
        // A creation sets all of them, and needs no row.
        if effect.details != Details::default() && event.version > 1 {
            self.details
                .push((event.wallet_id, event.version, effect.details));
        }
        if effect.erases {
            self.erasures
                .push((event.event_id, event.wallet_id, event.version));
        }
    }

    fn replace_head(&mut self, head: Head) {
        let id = head.wallet.id;
        let created = head.wallet.version == 1;
        if let (true, Some(external_id)) = (created, &head.external_id) {
            self.loaded.external_ids.insert(external_id.clone(), id);
            if let Some(undo) = &mut self.undo {
                undo.external_ids.push(external_id.clone());
            }
        }
        let before = self.loaded.heads.insert(id, head);
        if let Some(undo) = &mut self.undo {
            undo.heads.entry(id).or_insert(before);
        }
    }
}
