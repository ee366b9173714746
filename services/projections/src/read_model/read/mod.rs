//! What readers ask of the read model, and the rows they get.
//!
//! The invariant: every statement finds its rows through one index and reads no more of them than it returns;
//! tests/plans enforces this.

/// Whether the partition of a row of `read_model.wallet` is being refilled: the row then shows an earlier state.
macro_rules! being_filled {
    () => {
        "EXISTS (SELECT 1 FROM read_model.cursor \
                  WHERE cursor.partition = wallet.partition AND cursor.seq < cursor.refill_to)"
    };
}

pub mod history;
pub mod holds;
pub mod parked;
pub mod transactions;
pub mod wallets;
