//! The run's operations, fixed before it starts. Pure: the same seed and sizes give the same plan, in every release and
//! on every machine.
//!
//! The invariant that makes every answer predictable: a wallet starts with all the money that the plan ever takes from
//! it, plus [`FLOOR`]. So no order of operations can overdraw it, each one must succeed, and the final balances do not
//! depend on how the workers interleave.

use crate::mix::{Kind, Mix};

/// Minimum left in every wallet even if all withdrawals came first, in minor units.
pub(crate) const FLOOR: i64 = 1_000;
/// Largest amount of one operation, in minor units.
const MAX_AMOUNT: u64 = 1_000;

/// One operation. Wallets are numbered from 0; amounts are in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Credit { wallet: u32, amount: u32 },
    Debit { wallet: u32, amount: u32 },
    Transfer { from: u32, to: u32, amount: u32 },
}

impl Operation {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Credit { .. } => Kind::Credits,
            Self::Debit { .. } => Kind::Debits,
            Self::Transfer { .. } => Kind::Transfers,
        }
    }

    /// Minor units moved.
    pub(crate) fn amount(self) -> i64 {
        match self {
            Self::Credit { amount, .. } | Self::Debit { amount, .. } | Self::Transfer { amount, .. } => {
                amount.into()
            }
        }
    }

    /// Its changes: wallet and signed amount in minor units.
    pub(crate) fn changes(self) -> [Option<(u32, i64)>; 2] {
        match self {
            Self::Credit { wallet, amount } => [Some((wallet, i64::from(amount))), None],
            Self::Debit { wallet, amount } => [Some((wallet, -i64::from(amount))), None],
            Self::Transfer { from, to, amount } => {
                [Some((from, -i64::from(amount))), Some((to, i64::from(amount)))]
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Each wallet's initial balance, in minor units.
    pub(crate) initial: Vec<i64>,
    pub(crate) operations: Vec<Operation>,
}

/// The plan's size and composition. `wallets` is at least 2 if there are transfers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) wallets: u32,
    pub(crate) operations: u32,
    pub(crate) mix: Mix,
    pub(crate) hot: bool,
}

impl Plan {
    pub(crate) fn generate(seed: u64, shape: Shape) -> Self {
        let mut random = SplitMix(seed);
        let operations: Vec<_> = (0..shape.operations)
            .map(|_| operation(&mut random, shape))
            .collect();
        let mut initial = vec![FLOOR; shape.wallets as usize];
        for (wallet, change) in operations
            .iter()
            .flat_map(|operation| operation.changes())
            .flatten()
        {
            initial[wallet as usize] += (-change).max(0);
        }
        Self { initial, operations }
    }
}

fn operation(
    random: &mut SplitMix,
    Shape {
        wallets, mix, hot, ..
    }: Shape,
) -> Operation {
    let kind = random.below(u64::from(mix.credits + mix.debits + mix.transfers));
    let amount = 1 + random.small(MAX_AMOUNT);
    let wallet = if hot { 0 } else { random.small(u64::from(wallets)) };
    if kind < u64::from(mix.credits) {
        Operation::Credit { wallet, amount }
    } else if kind < u64::from(mix.credits + mix.debits) {
        Operation::Debit { wallet, amount }
    } else {
        transfer(random, wallet, amount, wallets)
    }
}

/// A transfer between `wallet` and any other one of so many, each equally likely, either way.
pub(crate) fn transfer(random: &mut SplitMix, wallet: u32, amount: u32, wallets: u32) -> Operation {
    let other = (wallet + 1 + random.small(u64::from(wallets) - 1)) % wallets;
    let (from, to) = if random.below(2) == 0 {
        (wallet, other)
    } else {
        (other, wallet)
    };
    Operation::Transfer { from, to, amount }
}

/// Steele, Lea and Flood's SplitMix64. Implemented here because a library's generator may change between versions, and
/// a seed would then no longer repeat a run.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 ≤ result < `limit`. Biased by less than one in 2³² for the limits used here.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// The same for limits that fit in 32 bits.
    pub(crate) fn small(&mut self, limit: u64) -> u32 {
        u32::try_from(self.below(limit)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: Mix = Mix {
        credits: 1,
        debits: 1,
        transfers: 1,
    };
    const SHAPE: Shape = Shape {
        wallets: 10,
        operations: 3_000,
        mix: EVEN,
        hot: false,
    };

    fn count(plan: &Plan, kind: Kind) -> usize {
        plan.operations
            .iter()
            .filter(|operation| operation.kind() == kind)
            .count()
    }

    #[test]
    fn the_same_seed_gives_the_same_operations() {
        assert_eq!(Plan::generate(7, SHAPE), Plan::generate(7, SHAPE));
        assert_ne!(Plan::generate(7, SHAPE), Plan::generate(8, SHAPE));
    }

    #[test]
    fn a_seed_means_the_same_in_every_release() {
        // First outputs of SplitMix64 from 0, as its authors' reference implementation gives them.
        let mut random = SplitMix(0);
        assert_eq!(
            [random.next(), random.next()],
            [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]
        );
    }

    #[test]
    fn kinds_come_in_the_shares_of_the_mix() {
        let plan = Plan::generate(1, SHAPE);
        for kind in Kind::ALL {
            assert!(
                (900..=1_100).contains(&count(&plan, kind)),
                "{kind:?}: {}",
                count(&plan, kind)
            );
        }
        let only = Mix {
            credits: 0,
            debits: 5,
            transfers: 0,
        };
        assert_eq!(
            count(&Plan::generate(1, Shape { mix: only, ..SHAPE }), Kind::Debits),
            3_000
        );
    }

    #[test]
    fn no_order_of_the_operations_overdraws_a_wallet() {
        let plan = Plan::generate(3, SHAPE);
        let mut lowest = plan.initial.clone();
        let changes = plan
            .operations
            .iter()
            .flat_map(|operation| operation.changes())
            .flatten();
        for (wallet, change) in changes.filter(|(_, change)| *change < 0) {
            lowest[wallet as usize] += change;
        }
        assert!(lowest.iter().all(|balance| *balance == FLOOR));
    }

    #[test]
    fn a_transfer_always_has_two_wallets() {
        for wallets in [2, 3, 10] {
            let mix = Mix {
                credits: 0,
                debits: 0,
                transfers: 1,
            };
            let plan = Plan::generate(
                5,
                Shape {
                    wallets,
                    mix,
                    ..SHAPE
                },
            );
            for operation in plan.operations {
                let Operation::Transfer { from, to, amount } = operation else {
                    panic!("{operation:?}")
                };
                assert!(
                    from != to && from < wallets && to < wallets && (1..=1_000).contains(&amount),
                    "{operation:?}"
                );
            }
        }
    }

    #[test]
    fn hot_puts_every_operation_on_the_first_wallet() {
        let plan = Plan::generate(5, Shape { hot: true, ..SHAPE });
        let on_first = |operation: &Operation| {
            operation
                .changes()
                .iter()
                .flatten()
                .any(|(wallet, _)| *wallet == 0)
        };
        assert!(plan.operations.iter().all(on_first));
    }
}
