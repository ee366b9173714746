//! What a wallet is and what may happen to it: money, commands, events, `decide` and `evolve`.
//!
//! Pure: no I/O, no async, no clock, no random numbers; callers bring those in. The invariant: an event that [`decide`]
//! returns can be applied to the state it was decided on, and leaves it valid.

mod command;
mod decide;
mod details;
mod effect;
mod entry;
mod event;
mod hash;
mod hold;
mod id;
mod mark;
mod money;
mod platform;
mod report;
mod wallet;
mod words;

pub use command::*;
pub use decide::{Decided, Rejection, State, decide, expire};
pub use details::Details;
pub use effect::{Effect, HoldChange};
pub use entry::{Direction, EntryType};
pub use event::*;
pub use hash::Hash;
pub use hold::{Hold, HoldStatus, Moves, Transaction};
pub use id::{HoldId, InvalidPosition, Partition, Position, Positions, WalletId};
pub use mark::Mark;
pub use money::{
    Amount, Currencies, Currency, InvalidAmount, InvalidCurrency, InvalidOwnCurrency, MAX_BALANCE,
    MAX_MINOR_UNITS,
};
pub use platform::PlatformId;
pub use report::{Ailment, LastWords, Migrated};
pub use wallet::{Status, Wallet};
