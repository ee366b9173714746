//! What an event is called in a wallet's history, and its direction: which way the balance goes.
//!
//! The invariant: each kind of event makes one type of entry, and no other kind makes that type.

use serde::Serialize;
use utoipa::ToSchema;

use crate::EventKind;

/// The one list of entry types: variant, name, the events that make it, and which way the balance goes.
macro_rules! entry_types {
    ($($variant:ident, $name:literal, $event:ident, $direction:ident;)+) => {
        /// What one event did to a wallet.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = WalletEntryType)]
        pub enum EntryType {
            $($variant,)+
        }

        impl EntryType {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub fn of(event: EventKind) -> Self {
                match event {
                    $(EventKind::$event => Self::$variant,)+
                }
            }

            /// As the API and the read model have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            pub fn direction(self) -> Direction {
                match self {
                    $(Self::$variant => Direction::$direction,)+
                }
            }
        }
    };
}

entry_types! {
    Create, "create", WalletCreated, In;
    Credit, "credit", WalletCredited, In;
    Debit, "debit", WalletDebited, Out;
    TransferOut, "transfer_out", TransferDebited, Out;
    TransferIn, "transfer_in", TransferCredited, In;
    Hold, "hold", HoldPlaced, None;
    Capture, "capture", HoldCaptured, Out;
    Release, "release", HoldReleased, None;
    Expire, "expire", HoldExpired, None;
    Extend, "extend", HoldExtended, None;
    ReversalOut, "reversal_out", ReversalDebited, Out;
    ReversalIn, "reversal_in", ReversalCredited, In;
    Freeze, "freeze", WalletFrozen, None;
    Unfreeze, "unfreeze", WalletUnfrozen, None;
    Close, "close", WalletClosed, None;
    OverdraftLimit, "overdraft_limit", OverdraftLimitSet, None;
    Change, "change", WalletChanged, None;
    Erase, "erase", PersonalDataErased, None;
}

impl EntryType {
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

crate::words! {
    /// Which way the balance went. Money that a hold sets aside or gives back stays in the wallet: `none`.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = WalletEntryDirection)]
    pub enum Direction {
        In = "in",
        Out = "out",
        None = "none",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn types_are_written_by_their_names() {
        for kind in EntryType::ALL {
            assert_eq!(EntryType::parse(kind.as_str()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(EntryType::parse("wallet.created"), None);
    }
}
