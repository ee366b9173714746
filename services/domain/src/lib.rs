//! What a wallet is and what may happen to it: money, commands, events, `decide` and `evolve`.
//!
//! Pure: no I/O, no async, no clock, no random numbers; callers bring those in. The invariant: an event
//! that [`decide`] returns can be applied to the state it was decided on, and leaves it valid.

mod command;
mod decide;
mod event;
mod hash;
mod id;
mod money;
mod wallet;

pub use command::{Command, CreateWallet, Movement, Transfer};
pub use decide::{Decided, Rejection, State, decide};
pub use event::{Created, DecodeError, EventData, EventKind, Moved, PersonalData, TransferLeg};
pub use hash::Hash;
pub use id::{InvalidPosition, Partition, Position, Positions, WalletId};
pub use money::{Amount, Currencies, Currency, InvalidAmount, InvalidCurrency, MAX_MINOR_UNITS};
pub use wallet::{Status, Wallet};
