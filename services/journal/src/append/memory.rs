//! What a writer remembers of the journal: the partitions as its last batch left them, and wallets as of that state.
//!
//! The invariant: nothing is right because it is remembered. Whatever changes a wallet also moves its partition, so a
//! remembered head is current exactly if the partition's row still says what is remembered of it; and the batch compares
//! that under the lock, before it writes.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use quick_cache::unsync::Cache;
use wallex_domain::{Hold, HoldId, Partition, WalletId};

use super::state::{Head, Loaded, LockedPartition};

/// The most wallets remembered (about 200 bytes each), and the most holds.
const CAPACITY: usize = 200_000;
const HOLDS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Memory {
    partitions: HashMap<Partition, Remembered>,
    /// With the generation of their partition in which they are current, and the time before which none of their holds
    /// becomes due.
    heads: Cache<WalletId, (Generation, Head, Option<i64>)>,
    /// With their wallet's partition and its generation.
    holds: Cache<HoldId, (Partition, Generation, Hold)>,
    last_generation: Generation,
    clock: Option<Clock>,
}

/// Increases whenever a partition is learned anew, which invalidates the heads remembered before.
type Generation = u64;

#[derive(Debug)]
struct Remembered {
    row: LockedPartition,
    generation: Generation,
    /// Somebody else has written to it since this writer's last batch: probably again before the next one.
    contested: bool,
}

/// The database's clock as it was last seen.
#[derive(Debug)]
struct Clock {
    micros: i64,
    seen: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            partitions: HashMap::new(),
            heads: Cache::new(CAPACITY),
            holds: Cache::new(HOLDS),
            last_generation: 0,
            clock: None,
        }
    }
}

impl Memory {
    /// A partition to decide on. Not one that others write to as well: there, all that is remembered goes stale.
    pub(super) fn partition(&self, id: Partition) -> Option<&LockedPartition> {
        let remembered = self.partitions.get(&id)?;
        (!remembered.contested).then_some(&remembered.row)
    }

    pub(super) fn is_contested(&self, id: Partition) -> bool {
        let remembered = self.partitions.get(&id);
        remembered.is_some_and(|remembered| remembered.contested)
    }

    pub(super) fn head(&self, id: WalletId) -> Option<&Head> {
        self.head_and_due(id).map(|(head, _)| head)
    }

    /// Also before which time none of its holds becomes due, if that is known.
    pub(super) fn head_and_due(&self, id: WalletId) -> Option<(&Head, Option<i64>)> {
        let (generation, head, not_due_before) = self.heads.get(&id)?;
        let partition = self.partitions.get(&head.partition)?;
        (partition.generation == *generation).then_some((head, *not_due_before))
    }

    pub(super) fn hold(&self, id: HoldId) -> Option<&Hold> {
        let (partition, generation, hold) = self.holds.get(&id)?;
        let partition = self.partitions.get(partition)?;
        (partition.generation == *generation).then_some(hold)
    }

    /// The database's clock in microseconds since 1970, as far as one can tell from here.
    pub(super) fn clock(&self) -> Option<i64> {
        let clock = self.clock.as_ref()?;
        let since = i64::try_from(clock.seen.elapsed().as_micros()).ok()?;
        clock.micros.checked_add(since)
    }

    pub(super) fn saw_clock(&mut self, micros: i64, seen: Instant) {
        self.clock = Some(Clock { micros, seen });
    }

    /// A partition as it was read; whoever wrote to it meanwhile, its wallets are read anew.
    pub(super) fn saw_partition(&mut self, id: Partition, row: &LockedPartition) {
        match self.partitions.get_mut(&id) {
            Some(remembered) if remembered.row.head == row.head => remembered.row = row.clone(),
            remembered => {
                let contested = remembered.is_some_and(|remembered| remembered.contested);
                self.learn_anew(id, row.clone(), contested);
            }
        }
    }

    fn learn_anew(&mut self, id: Partition, row: LockedPartition, contested: bool) {
        self.last_generation += 1;
        let remembered = Remembered {
            row,
            generation: self.last_generation,
            contested,
        };
        self.partitions.insert(id, remembered);
    }

    /// A wallet as of the state of its partition that is remembered.
    pub(super) fn saw_head(&mut self, head: Head) {
        self.saw_head_and_due(head, None);
    }

    fn saw_head_and_due(&mut self, mut head: Head, not_due_before: Option<i64>) {
        // Without held money it has no holds.
        let not_due_before = if head.wallet.held == 0 {
            Some(i64::MAX)
        } else {
            not_due_before
        };
        if let Some(partition) = self.partitions.get(&head.partition) {
            head.loaded_version = head.wallet.version;
            let remembered = (partition.generation, head, not_due_before);
            self.heads.insert(remembered.1.wallet.id, remembered);
        }
    }

    /// What a batch leaves that was decided on `before`, under the locks.
    pub(super) fn learn(&mut self, before: &BTreeMap<Partition, LockedPartition>, after: &Loaded) {
        for (id, row) in before {
            match self.partitions.get_mut(id) {
                // Nobody but this writer has written since its last batch.
                Some(remembered) if remembered.row.head == row.head => remembered.contested = false,
                remembered => {
                    let contested = remembered.is_some();
                    self.learn_anew(*id, row.clone(), contested);
                }
            }
        }
        self.expect(before, after);
    }

    /// What a batch will leave that is decided on what is remembered.
    pub(super) fn expect(&mut self, before: &BTreeMap<Partition, LockedPartition>, after: &Loaded) {
        for id in before.keys() {
            if let (Some(remembered), Some(row)) = (self.partitions.get_mut(id), after.partitions.get(id)) {
                remembered.row = row.clone();
            }
        }
        let heads = after.heads.values();
        for head in heads.filter(|head| before.contains_key(&head.partition)) {
            let id = head.wallet.id;
            // Due holds that the batch looked at and did not end are still due.
            let are_ended = !after.due.contains_key(&id);
            let not_due_before = after.not_due_before.get(&id).copied().filter(|_| are_ended);
            self.saw_head_and_due(head.clone(), not_due_before);
        }
        for hold in after.holds.values() {
            if let Some(head) = after.heads.get(&hold.wallet_id)
                && let Some(partition) = self.partitions.get(&head.partition)
            {
                let remembered = (head.partition, partition.generation, hold.clone());
                self.holds.insert(hold.id, remembered);
            }
        }
    }

    /// What was expected in these partitions of a batch that wrote nothing. `heads` are the wallets that it was decided on.
    pub(super) fn take_back(
        &mut self,
        before: &BTreeMap<Partition, LockedPartition>,
        heads: &HashMap<WalletId, Head>,
        expected: &Loaded,
    ) {
        for (id, row) in before {
            match (self.partitions.get_mut(id), expected.partitions.get(id)) {
                (Some(remembered), Some(expected)) if remembered.row.head == expected.head => {
                    remembered.row = row.clone();
                }
                // Something else was decided on that.
                _ => self.forget([*id]),
            }
        }
        for id in expected.heads.keys().filter(|id| !heads.contains_key(id)) {
            self.heads.remove(id);
        }
        let heads = heads.values().filter(|head| before.contains_key(&head.partition));
        heads.for_each(|head| self.saw_head(head.clone()));
        for id in expected.holds.keys() {
            self.holds.remove(id);
        }
    }

    /// Something else than what a batch was decided on is in this partition. Whatever has been learned of it since stays.
    pub(super) fn went_stale(&mut self, id: Partition, expected: &Loaded) {
        self.last_generation += 1;
        if let (Some(remembered), Some(expected)) =
            (self.partitions.get_mut(&id), expected.partitions.get(&id))
            && remembered.row.head == expected.head
        {
            remembered.generation = self.last_generation;
            remembered.contested = true;
        }
    }

    /// What was expected of these partitions did not come true, or may not have.
    pub(super) fn forget(&mut self, partitions: impl IntoIterator<Item = Partition>) {
        for id in partitions {
            self.partitions.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wallex_domain::{Hash, Mark, Status, Wallet};

    use super::*;

    const P: Partition = Partition(3);

    fn row(seq: i64) -> LockedPartition {
        LockedPartition {
            head: Mark {
                seq,
                hash: Hash([u8::try_from(seq).unwrap_or(0); 32]),
            },
            last_recorded_at: seq,
            open: true,
        }
    }

    fn head(wallet: u128, version: i64) -> Head {
        Head {
            wallet: Wallet {
                id: WalletId(Uuid::from_u128(wallet)),
                currency: "EUR".parse().unwrap_or_else(|_| unreachable!()),
                balance: 0,
                held: 0,
                overdraft_limit: 0,
                status: Status::Active,
                version,
            },
            partition: P,
            external_id: None,
            loaded_version: version,
        }
    }

    fn after(seq: i64, heads: &[Head]) -> Loaded {
        Loaded {
            partitions: BTreeMap::from([(P, row(seq))]),
            heads: heads.iter().map(|head| (head.wallet.id, head.clone())).collect(),
            ..Loaded::default()
        }
    }

    fn version(memory: &Memory, wallet: u128) -> Option<i64> {
        let head = memory.head(WalletId(Uuid::from_u128(wallet)))?;
        assert_eq!(head.loaded_version, head.wallet.version);
        Some(head.wallet.version)
    }

    #[test]
    fn wallets_are_remembered_while_nobody_else_writes_to_their_partition() {
        let mut memory = Memory::default();
        memory.learn(
            &BTreeMap::from([(P, row(1))]),
            &after(2, &[head(1, 1), head(2, 1)]),
        );
        memory.learn(&BTreeMap::from([(P, row(2))]), &after(3, &[head(1, 2)]));
        assert_eq!((version(&memory, 1), version(&memory, 2)), (Some(2), Some(1)));
        assert_eq!(memory.partition(P).map(|row| row.head.seq), Some(3));
        // Somebody else has written number 4.
        memory.learn(&BTreeMap::from([(P, row(4))]), &after(5, &[head(1, 3)]));
        assert_eq!((version(&memory, 1), version(&memory, 2)), (Some(3), None));
    }

    #[test]
    fn a_partition_that_others_write_to_is_decided_under_locks_until_one_is_alone_again() {
        let mut memory = Memory::default();
        let mut locked_batch = |seq| {
            memory.learn(&BTreeMap::from([(P, row(seq))]), &after(seq + 1, &[head(1, seq)]));
            memory.partition(P).is_some()
        };
        assert!(locked_batch(1), "the first time there is nobody to tell of");
        assert!(!locked_batch(7) && !locked_batch(9));
        assert!(locked_batch(10));
        memory.went_stale(P, &after(5, &[]));
        assert!(memory.partition(P).is_some(), "something else was learned since");
        memory.went_stale(P, &after(11, &[]));
        assert!(memory.partition(P).is_none() && memory.is_contested(P));
        assert_eq!(version(&memory, 1), None);
        memory.saw_partition(P, &row(20));
        assert!(
            memory.is_contested(P),
            "reading it says nothing of the next batch"
        );
    }

    #[test]
    fn what_is_forgotten_does_not_come_back_with_its_partition() {
        let mut memory = Memory::default();
        memory.learn(&BTreeMap::from([(P, row(1))]), &after(2, &[head(1, 1)]));
        memory.forget([P]);
        assert_eq!(version(&memory, 1), None);
        memory.saw_partition(P, &row(2));
        assert_eq!(version(&memory, 1), None);
        memory.saw_head(head(1, 7));
        assert_eq!(version(&memory, 1), Some(7));
    }

    #[test]
    fn what_was_expected_in_vain_is_taken_back() {
        let mut memory = Memory::default();
        memory.learn(
            &BTreeMap::from([(P, row(1))]),
            &after(2, &[head(1, 1), head(2, 1)]),
        );
        let before = BTreeMap::from([(P, row(2))]);
        let heads = HashMap::from([(WalletId(Uuid::from_u128(1)), head(1, 1))]);
        let expected = after(3, &[head(1, 2), head(9, 1)]);
        memory.expect(&before, &expected);
        assert_eq!((version(&memory, 1), version(&memory, 9)), (Some(2), Some(1)));
        memory.take_back(&before, &heads, &expected);
        assert_eq!(memory.partition(P).map(|row| row.head.seq), Some(2));
        assert_eq!((version(&memory, 1), version(&memory, 2)), (Some(1), Some(1)));
        assert_eq!(version(&memory, 9), None, "nobody has created it");
        // What is expected after that batch goes with it.
        memory.expect(&before, &expected);
        memory.expect(&BTreeMap::from([(P, row(3))]), &after(4, &[head(2, 2)]));
        memory.take_back(&before, &heads, &expected);
        assert!(memory.partition(P).is_none());
    }

    #[test]
    fn the_same_number_with_another_hash_is_another_state() {
        let mut memory = Memory::default();
        memory.learn(&BTreeMap::from([(P, row(1))]), &after(2, &[head(1, 1)]));
        let mut other = row(2);
        other.head.hash = Hash([9; 32]);
        memory.saw_partition(P, &other);
        assert_eq!(version(&memory, 1), None);
    }
}
