//! The wallets of a scenario, and the balances that its answers so far predict.

use std::sync::atomic::{AtomicI64, Ordering};

use uuid::Uuid;

/// A wallet of a scenario, with its id as it stands in requests.
pub(crate) struct Wallet {
    pub(crate) id: Uuid,
    pub(crate) text: String,
    expected: AtomicI64,
}

pub(crate) struct Wallets(pub(crate) Vec<Wallet>);

impl Wallets {
    /// Not created yet. `initial` is in minor units.
    pub(crate) fn new(count: usize, initial: i64) -> Self {
        let wallet = |_| {
            let id = Uuid::now_v7();
            Wallet {
                id,
                text: id.to_string(),
                expected: AtomicI64::new(initial),
            }
        };
        Self((0..count).map(wallet).collect())
    }

    /// Records what an answer confirmed.
    pub(crate) fn apply(&self, effects: &[(u32, i64)]) {
        for (wallet, change) in effects {
            self.0[*wallet as usize]
                .expected
                .fetch_add(*change, Ordering::Relaxed);
        }
    }

    /// Ids with their balances in minor units.
    pub(crate) fn expected(&self) -> Vec<(Uuid, i64)> {
        let wallets = self.0.iter();
        wallets
            .map(|wallet| (wallet.id, wallet.expected.load(Ordering::Relaxed)))
            .collect()
    }
}
