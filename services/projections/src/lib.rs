//! The read side's tables: the schemas `ledger` and `read_model`, what events write into them, and what verifies them.
//!
//! Each projection handles every event type, in matches without a default: the ledger turns movements into postings
//! between accounts (wallets, holds, the outside); the read model writes wallets, entries and holds, and removes
//! personal data from both sides of a movement when a wallet is erased.
//!
//! The invariant: no other crate names a table of these schemas. Code that runs a projection uses [`Projection`].
#![forbid(unsafe_code)]

pub mod cursor;
pub mod ledger;
pub mod live;
pub mod projection;
pub mod read_model;
mod registry;
mod reset;
pub mod schema;
pub mod verify;

pub use ledger::Ledger;
pub use projection::{ApplyError, Projected, Projection};
pub use read_model::ReadModel;
pub use registry::{Name, consumer_group};
pub use reset::reset;

/// Evaluates an expression with the projection of that name. Each projection is a type of its own.
#[macro_export]
macro_rules! with_projection {
    ($name:expr, $projection:ident => $with:expr) => {
        match $name {
            $crate::Name::Ledger => {
                let $projection = $crate::Ledger;
                $with
            }
            $crate::Name::ReadModel => {
                let $projection = $crate::ReadModel;
                $with
            }
        }
    };
}
