//! A batch between load and write: what it knows, and what it has decided but not written yet.
//!
//! The invariant: after [`Staging::undo`], everything that decisions look at is as it was at [`Staging::begin_undo`];
//! only what was changed in between is remembered, each with its first value.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;
use wallex_domain::{Details, Hold, HoldId, Partition, WalletId};

use super::state::{Head, Key, Loaded, LockedPartition, StoredAnswer};
use crate::{Event, personal::Sealed};

#[derive(Debug)]
pub(super) struct Staging {
    pub(super) loaded: Loaded,
    pub(super) events: Vec<Event>,
    pub(super) personal: Vec<(Uuid, WalletId, Partition, Sealed)>,
    /// Erasures: event, wallet, version.
    pub(super) erasures: Vec<(Uuid, WalletId, i64)>,
    /// Changes that events make to wallets' details: wallet, version, which details.
    pub(super) details: Vec<(WalletId, i64, Details)>,
    /// Answers decided in this batch, by key.
    pub(super) new_answers: BTreeMap<Key, StoredAnswer>,
    /// Holds that the batch changed; `true` for those that it placed.
    pub(super) changed_holds: BTreeMap<HoldId, bool>,
    pub(super) changed_reversed: BTreeSet<Uuid>,
    /// Set while a request of many commands is decided.
    pub(super) undo: Option<Undo>,
}

impl Staging {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self {
            loaded,
            events: Vec::new(),
            personal: Vec::new(),
            erasures: Vec::new(),
            details: Vec::new(),
            new_answers: BTreeMap::new(),
            changed_holds: BTreeMap::new(),
            changed_reversed: BTreeSet::new(),
            undo: None,
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.new_answers.is_empty() && self.events.is_empty()
    }

    /// Heads that the batch created or changed, by wallet id.
    pub(super) fn written_heads(&self) -> BTreeMap<WalletId, &Head> {
        let written = self
            .loaded
            .heads
            .iter()
            .filter(|(_, head)| head.wallet.version > head.loaded_version);
        written.map(|(id, head)| (*id, head)).collect()
    }

    /// Holds that the batch placed, and earlier ones that it changed, by id.
    pub(super) fn written_holds(&self) -> (Vec<&Hold>, Vec<&Hold>) {
        let of = |placed: bool| {
            let changed = self.changed_holds.iter();
            changed
                .filter(move |(_, was_placed)| **was_placed == placed)
                .filter_map(|(id, _)| self.loaded.holds.get(id))
                .collect()
        };
        (of(true), of(false))
    }

    /// The versions of the events that now set the wallets' owner, description and metadata, by wallet id; 1 where the
    /// batch has changed nothing.
    pub(super) fn written_details(&self) -> Vec<(WalletId, [i64; 3])> {
        let mut written: BTreeMap<WalletId, [i64; 3]> = BTreeMap::new();
        for (wallet_id, version, details) in &self.details {
            let at = written.entry(*wallet_id).or_insert([1; 3]);
            let changed = [details.owner, details.description, details.metadata];
            for (at, _) in at.iter_mut().zip(changed).filter(|(_, changed)| *changed) {
                *at = *version;
            }
        }
        written.into_iter().collect()
    }

    /// How much is now taken back of transactions that the batch reversed, by id, and the payer's partition.
    pub(super) fn written_reversed(&self) -> Vec<(Uuid, i64, Option<Partition>)> {
        let home = |id| {
            self.loaded
                .home(*self.loaded.transactions.get(id)?.wallets.first()?)
        };
        let changed = self.changed_reversed.iter();
        changed
            .filter_map(|id| Some((*id, *self.loaded.reversed.get(id)?, home(id))))
            .collect()
    }

    /// Call before a request of many commands, all or none of which may stand.
    pub(super) fn begin_undo(&mut self) {
        self.undo = Some(Undo {
            partitions: self.loaded.partitions.clone(),
            events: self.events.len(),
            personal: self.personal.len(),
            erasures: self.erasures.len(),
            details: self.details.len(),
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
        self.details.truncate(undo.details);
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

/// The state before the request.
#[derive(Debug)]
pub(super) struct Undo {
    partitions: BTreeMap<Partition, LockedPartition>,
    events: usize,
    personal: usize,
    erasures: usize,
    details: usize,
    pub(super) heads: HashMap<WalletId, Option<Head>>,
    pub(super) holds: HashMap<HoldId, Option<Hold>>,
    pub(super) open_holds: HashMap<WalletId, Option<i64>>,
    pub(super) reversed: HashMap<Uuid, Option<i64>>,
    /// Those of wallets created since.
    pub(super) external_ids: Vec<String>,
    /// Those of movements recorded since.
    pub(super) movements: Vec<String>,
    /// Due holds that were ended since.
    pub(super) due: Vec<(WalletId, Vec<HoldId>)>,
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
