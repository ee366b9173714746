//! What a batch knows: the journal's rows that its decisions look at, kept up to date with what it has decided so far.
//!
//! The invariant: nothing here knows where a row came from or where it goes, so a batch can be decided on rows that
//! were just loaded as well as on cached ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use wallex_domain::{
    Command, Hash, Hold, HoldId, Mark, Partition, Position, Rejection, State, Transaction, Wallet, WalletId,
};

use super::request::Answer;
use crate::personal::Sealed;

/// A locked partition row, including what has been staged.
#[derive(Debug, Clone)]
pub(super) struct LockedPartition {
    pub head: Mark,
    pub last_recorded_at: i64,
    pub open: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub wallet: Wallet,
    pub partition: Partition,
    pub external_id: Option<String>,
    /// The version in the journal; 0 for a wallet created in this batch.
    pub loaded_version: i64,
}

#[derive(Debug, Clone)]
pub(super) struct StoredAnswer {
    pub fingerprint: Hash,
    pub answer: Answer,
    /// Of a new one: where the first wallet lives that its request touches. Not read back.
    pub partition: Option<Partition>,
}

pub(super) type Key = (Arc<str>, Arc<str>);

/// What step 2 of the protocol loaded, including what has been staged since.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub partitions: BTreeMap<Partition, LockedPartition>,
    pub heads: HashMap<WalletId, Head>,
    /// Wallets that exist but that this build cannot read.
    pub unreadable: HashSet<WalletId>,
    pub unreadable_holds: HashSet<HoldId>,
    pub unreadable_transactions: HashSet<Uuid>,
    /// Wallets that were skipped because somebody has locked their heads.
    pub locked: HashSet<WalletId>,
    pub answers: HashMap<Key, StoredAnswer>,
    pub external_ids: HashMap<String, WalletId>,
    /// Those names of the batch's movements that are taken.
    pub movements: HashMap<String, Named>,
    /// Those that the batch names, and those that are due.
    pub holds: HashMap<HoldId, Hold>,
    /// Wallets with more due holds than are in `due`: nothing else is decided on them in this batch.
    pub crowded: HashSet<WalletId>,
    /// Open holds by wallet, for wallets on which the batch places one; placing on those in `uncounted` waits for a
    /// later batch.
    pub open_holds: HashMap<WalletId, i64>,
    pub uncounted: HashSet<WalletId>,
    pub max_open_holds: i64,
    /// Before this time, in microseconds, no hold of the wallet becomes due; missing if that is unknown.
    pub not_due_before: HashMap<WalletId, i64>,
    /// Holds to end before anything else happens to their wallet, in order of expiry.
    pub due: HashMap<WalletId, Vec<HoldId>>,
    /// Those that the batch names. Facts, so they need no lock.
    pub transactions: HashMap<Uuid, Transaction>,
    pub reversed: HashMap<Uuid, i64>,
    /// The batch's time: the database's clock, read after the locks, in microseconds. Events of a partition whose time
    /// is ahead of it are recorded later.
    pub clock: i64,
}

/// A movement whose name is already taken.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub transaction_id: Uuid,
    /// The transaction's first event.
    pub event_id: Uuid,
    pub content: Hash,
    pub personal: Personal,
    pub answer: Answer,
    /// Added by this batch, so still to be written.
    pub new: bool,
}

/// Description and metadata of a movement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Personal {
    Nothing,
    Kept(Bytes),
    /// There was something; nobody can tell what.
    Erased,
}

impl Personal {
    pub(super) fn of(sealed: Option<&Sealed>) -> Self {
        sealed.map_or(Self::Nothing, |sealed| Self::Kept(sealed.data.clone()))
    }

    /// Whether `sent` may equal what there was.
    pub(super) fn allows(&self, sent: &Self) -> bool {
        *self == Self::Erased || self == sent
    }
}

impl Loaded {
    /// The wallets that a command touches, including those behind its hold or its transaction.
    pub(super) fn touched(&self, command: &Command) -> Result<Vec<WalletId>, Rejection> {
        command.touched(
            |hold| self.holds.get(&hold).map(|hold| hold.wallet_id),
            |transaction| {
                let transaction = self.transactions.get(&transaction)?;
                Some(transaction.wallets.iter().copied())
            },
        )
    }

    /// The partition of a wallet that is loaded or was created in this batch.
    pub(super) fn home(&self, wallet: WalletId) -> Option<Partition> {
        self.heads.get(&wallet).map(|head| head.partition)
    }

    /// Whether the hold or transaction that the command names exists but cannot be read by this build.
    pub(super) fn is_unreadable(&self, command: &Command) -> bool {
        let hold = command.named_hold();
        let transaction = command.transaction();
        hold.is_some_and(|id| self.unreadable_holds.contains(&id))
            || transaction.is_some_and(|id| self.unreadable_transactions.contains(&id))
    }
}

impl State for Loaded {
    fn now(&self) -> i64 {
        self.clock
    }

    fn wallet(&self, id: WalletId) -> Option<&Wallet> {
        self.heads.get(&id).map(|head| &head.wallet)
    }

    fn external_id_holder(&self, external_id: &str) -> Option<WalletId> {
        self.external_ids.get(external_id).copied()
    }

    fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    fn open_holds(&self, id: WalletId) -> i64 {
        self.open_holds.get(&id).copied().unwrap_or(0)
    }

    fn max_open_holds(&self) -> i64 {
        self.max_open_holds
    }

    fn transaction(&self, id: Uuid) -> Option<&Transaction> {
        self.transactions.get(&id)
    }

    fn reversed(&self, transaction_id: Uuid) -> i64 {
        self.reversed.get(&transaction_id).copied().unwrap_or(0)
    }

    fn next_positions(&self, first: WalletId, second: WalletId) -> (Position, Position) {
        let next = |id, offset| {
            let partition = self.heads.get(&id).map_or(Partition(-1), |head| head.partition);
            let last_seq = self.partitions.get(&partition).map_or(0, |row| row.head.seq);
            Position {
                partition,
                seq: last_seq + offset,
            }
        };
        let first = next(first, 1);
        let second = next(second, 1);
        if first.partition == second.partition {
            return (
                first,
                Position {
                    seq: second.seq + 1,
                    ..second
                },
            );
        }
        (first, second)
    }
}
