//! Taking back what a request of many commands has staged, when it turns out that none of it may stand.
//!
//! The invariant: after [`Staging::undo`] everything that decisions look at is as it was at
//! [`Staging::begin_undo`]; only what was changed meanwhile is remembered, each with its first value.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;
use wallex_domain::{Hold, HoldId, Partition, WalletId};

use super::staging::{Head, LockedPartition, Staging};

/// What there was before.
#[derive(Debug)]
pub(super) struct Undo {
    partitions: BTreeMap<Partition, LockedPartition>,
    events: usize,
    personal: usize,
    erasures: usize,
    pub(super) heads: HashMap<WalletId, Option<Head>>,
    pub(super) holds: HashMap<HoldId, Option<Hold>>,
    pub(super) open_holds: HashMap<WalletId, Option<i64>>,
    pub(super) reversed: HashMap<Uuid, Option<i64>>,
    /// Those of wallets that were created meanwhile.
    pub(super) external_ids: Vec<String>,
    /// Those of movements that were recorded meanwhile.
    pub(super) movements: Vec<String>,
    /// Holds that were ended meanwhile because they are due.
    pub(super) due: Vec<(WalletId, Vec<HoldId>)>,
}

impl Staging {
    pub(super) fn begin_undo(&mut self) {
        self.undo = Some(Undo {
            partitions: self.loaded.partitions.clone(),
            events: self.events.len(),
            personal: self.personal.len(),
            erasures: self.erasures.len(),
            heads: HashMap::new(),
            holds: HashMap::new(),
            open_holds: HashMap::new(),
            reversed: HashMap::new(),
            external_ids: Vec::new(),
            movements: Vec::new(),
            due: Vec::new(),
        });
    }

    pub(super) fn undo(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.loaded.partitions = undo.partitions;
        self.events.truncate(undo.events);
        self.personal.truncate(undo.personal);
        self.erasures.truncate(undo.erasures);
        restore(&mut self.loaded.heads, undo.heads);
        restore(&mut self.loaded.holds, undo.holds);
        restore(&mut self.loaded.open_holds, undo.open_holds);
        restore(&mut self.loaded.reversed, undo.reversed);
        for external_id in undo.external_ids {
            self.loaded.external_ids.remove(&external_id);
        }
        for external_id in undo.movements {
            self.loaded.movements.remove(&external_id);
        }
        self.loaded.due.extend(undo.due);
    }
}

fn restore<Id: Eq + std::hash::Hash, Value>(
    now: &mut HashMap<Id, Value>,
    before: HashMap<Id, Option<Value>>,
) {
    for (id, value) in before {
        match value {
            Some(value) => now.insert(id, value),
            None => now.remove(&id),
        };
    }
}
