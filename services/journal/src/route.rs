//! Which partition a wallet lives in. It is fixed when the wallet is created, so it is cached; absence never is. A
//! wrong cache entry costs a second try, never a wrong write: the head row names its partition, and a batch decides
//! only on heads of partitions it has locked.

use std::sync::{PoisonError, RwLock};

use quick_cache::sync::Cache;
use uuid::Uuid;
use wallex_domain::{HoldId, Partition, WalletId};

/// The most wallets cached (about 60 bytes each). Beyond that the least used are dropped; the next batch looks them up
/// again.
const CAPACITY: usize = 1_000_000;

#[derive(Debug)]
pub struct Routes {
    known: Cache<WalletId, Partition>,
    /// Partitions that take new wallets, ascending.
    open: RwLock<Vec<Partition>>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            known: Cache::new(CAPACITY),
            open: RwLock::default(),
        }
    }
}

impl Routes {
    pub fn get(&self, wallet: WalletId) -> Option<Partition> {
        self.known.get(&wallet)
    }

    /// Call only after a commit known to have succeeded, or with what was read from the journal.
    pub fn remember(&self, wallets: impl IntoIterator<Item = (WalletId, Partition)>) {
        for (wallet, partition) in wallets {
            self.known.insert(wallet, partition);
        }
    }

    pub fn forget(&self, wallet: WalletId) {
        self.known.remove(&wallet);
    }

    pub(crate) fn set_open(&self, partitions: Vec<Partition>) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    pub(crate) fn first_open(&self) -> Option<Partition> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.first().copied()
    }

    /// The partition for a new wallet: chosen by its idempotency key and its place among the commands under that key,
    /// so that a repeated create is routed the same way. `None` while no partition is open.
    pub fn for_new_wallet(&self, caller: &str, key: &str, index: usize) -> Option<Partition> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let digest = key_digest(b"partition", caller, key, index);
        let (number, _) = digest.as_bytes().split_first_chunk()?;
        let index = u64::from_be_bytes(*number) % u64::try_from(open.len()).ok().filter(|n| *n > 0)?;
        open.get(usize::try_from(index).ok()?).copied()
    }
}

/// The id of a wallet created without one: the same request always gets the same id. `index` is the command's place
/// among those under the key.
pub fn derived_wallet_id(caller: &str, key: &str, index: usize) -> WalletId {
    WalletId(derived_id(b"wallet", caller, key, index))
}

/// The id of a hold placed without one.
pub fn derived_hold_id(caller: &str, key: &str, index: usize) -> HoldId {
    HoldId(derived_id(b"hold", caller, key, index))
}

fn derived_id(purpose: &[u8], caller: &str, key: &str, index: usize) -> Uuid {
    let digest = key_digest(purpose, caller, key, index);
    let (bytes, _) = digest.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
    Uuid::new_v8(*bytes)
}

fn key_digest(purpose: &[u8], caller: &str, key: &str, index: usize) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in [purpose, caller.as_bytes(), key.as_bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    // The first one keeps the digest that a single command has always had.
    if index > 0 {
        hasher.update(&(index as u64).to_be_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_same_key_means_the_same_wallet_and_another_key_another() {
        assert_eq!(derived_wallet_id("a", "key", 0), derived_wallet_id("a", "key", 0));
        assert_ne!(derived_wallet_id("a", "key", 0), derived_wallet_id("ak", "ey", 0));
        assert_ne!(derived_wallet_id("a", "key", 0), derived_wallet_id("a", "key", 1));
    }

    #[test]
    fn new_wallets_spread_over_the_open_partitions_only() {
        let routes = Routes::default();
        assert_eq!(routes.for_new_wallet("a", "key", 0), None);
        routes.set_open(vec![Partition(1), Partition(4), Partition(9)]);
        let mut counts = HashMap::new();
        for n in 0..3_000 {
            *counts
                .entry(routes.for_new_wallet("a", &n.to_string(), 0))
                .or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 3);
        assert!(counts.values().all(|n| (800..1_200).contains(n)), "{counts:?}");
    }
}
