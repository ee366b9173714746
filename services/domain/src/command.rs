//! What callers ask for. Parsed and typed at the edge; `decide` says whether it happens.
//!
//! Commands travel from one command replica to another in their `serde` form and are never stored in it. A change of it
//! needs another protocol number (`handing/wire.rs` of the command role); its golden notices.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Amount, Currency, Details, Hash, HoldId, Rejection, WalletId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    Create(CreateWallet),
    Credit(Movement),
    Debit(Movement),
    Transfer(Transfer),
    PlaceHold(PlaceHold),
    CaptureHold(CaptureHold),
    ReleaseHold(ReleaseHold),
    ExtendHold(ExtendHold),
    Reverse(Reverse),
    Change(ChangeWallet),
    /// Ends a wallet's due holds. Any command on the wallet does that first; this one does nothing else.
    ExpireHolds(WalletId),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateWallet {
    pub wallet_id: WalletId,
    /// The caller's own name for the wallet, unique in the platform.
    pub external_id: Option<String>,
    pub currency: Currency,
    pub initial_balance: Option<Amount>,
    /// Salted digest of owner, description and metadata.
    pub personal: Option<Hash>,
}

/// Money into a wallet from outside, or out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    pub wallet_id: WalletId,
    pub amount: Amount,
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform for good: a second command with it is the same
    /// movement, or is refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    /// From `If-Match`: rejected unless the wallet is at this version.
    pub expected_version: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    pub from: WalletId,
    pub to: WalletId,
    pub amount: Amount,
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform for good: a second command with it is the same
    /// movement, or is refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    /// From `If-Match`: rejected unless the source wallet is at this version.
    pub expected_version: Option<i64>,
}

/// Sets money aside: it stays in the balance and is no longer available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceHold {
    pub hold_id: HoldId,
    pub wallet_id: WalletId,
    pub amount: Amount,
    /// Microseconds since 1970 (UTC); must be in the future.
    pub expires_at: Option<i64>,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

/// Takes money that a hold has set aside; the rest becomes available again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureHold {
    pub hold_id: HoldId,
    /// `None` captures the whole hold.
    pub amount: Option<Amount>,
    /// The wallet that gets the money; `None` is outside.
    pub to: Option<WalletId>,
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform for good: a second command with it is the same
    /// movement, or is refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseHold {
    pub hold_id: HoldId,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

/// Moves a hold's expiry to a later time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendHold {
    pub hold_id: HoldId,
    /// Microseconds since 1970 (UTC); later than the hold's current expiry.
    pub expires_at: i64,
    pub reference: Option<String>,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

/// Takes a transaction back, in whole or in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverse {
    pub transaction_id: Uuid,
    /// `None` takes back all that is left of the transaction.
    pub amount: Option<Amount>,
    pub reference: Option<String>,
    /// The caller's own name for the movement, unique in the platform for good: a second command with it is the same
    /// movement, or is refused.
    pub external_id: Option<String>,
    pub personal: Option<Hash>,
    /// Of the wallet that pays, or of the one that receives when the payer is outside.
    pub expected_version: Option<i64>,
}

/// Changes a wallet without moving money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeWallet {
    pub wallet_id: WalletId,
    pub change: Change,
    pub personal: Option<Hash>,
    pub expected_version: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Freeze,
    Unfreeze,
    Close,
    /// Minor units, never negative.
    SetOverdraftLimit(i64),
    /// These become what the personal data beside the event says, or nothing.
    Details(Details),
    ErasePersonalData,
}

/// What a command is about, whatever its kind. A new kind must answer all of it in [`Command::subject`]; apart from
/// that, only its own decision depends on which command it is.
#[derive(Debug, Clone, Copy, Default)]
struct Subject<'a> {
    /// The wallets that the command itself names, the source first.
    wallets: [Option<WalletId>; 2],
    /// The hold whose wallet it touches.
    hold: Option<HoldId>,
    /// The hold that it would place, on the first of the wallets.
    places: Option<HoldId>,
    /// The transaction whose wallets it touches.
    transaction: Option<Uuid>,
    creates: Option<&'a CreateWallet>,
    /// Whether it erases the personal data of its wallet.
    erases: bool,
    movement: Option<Asked<'a>>,
}

/// What a command that moves money asks for. Wallets and holds have unique names too, but these are separate.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `None` is all that can move.
    pub amount: Option<Amount>,
    pub reference: Option<&'a str>,
    /// The caller's own name for the movement.
    pub external_id: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn new(
        amount: impl Into<Option<Amount>>,
        reference: &'a Option<String>,
        external_id: &'a Option<String>,
    ) -> Option<Self> {
        Some(Self {
            amount: amount.into(),
            reference: reference.as_deref(),
            external_id: external_id.as_deref(),
        })
    }
}

impl<'a> Subject<'a> {
    fn wallet(id: WalletId) -> Self {
        Self {
            wallets: [Some(id), None],
            ..Self::default()
        }
    }

    fn movement(movement: &'a Movement) -> Self {
        Self {
            movement: Asked::new(movement.amount, &movement.reference, &movement.external_id),
            ..Self::wallet(movement.wallet_id)
        }
    }

    fn hold(id: HoldId) -> Self {
        Self {
            hold: Some(id),
            ..Self::default()
        }
    }
}

impl Command {
    /// The command's kind, and what it is about. The kind is the bounded name used in metrics and answers.
    fn subject(&self) -> (&'static str, Subject<'_>) {
        match self {
            Self::Create(create) => {
                let subject = Subject {
                    creates: Some(create),
                    ..Subject::wallet(create.wallet_id)
                };
                ("create", subject)
            }
            Self::Credit(movement) => ("credit", Subject::movement(movement)),
            Self::Debit(movement) => ("debit", Subject::movement(movement)),
            Self::Transfer(transfer) => {
                let subject = Subject {
                    wallets: [Some(transfer.from), Some(transfer.to)],
                    movement: Asked::new(transfer.amount, &transfer.reference, &transfer.external_id),
                    ..Subject::default()
                };
                ("transfer", subject)
            }
            Self::PlaceHold(place) => {
                let subject = Subject {
                    places: Some(place.hold_id),
                    ..Subject::wallet(place.wallet_id)
                };
                ("hold", subject)
            }
            Self::CaptureHold(capture) => {
                let subject = Subject {
                    wallets: [capture.to, None],
                    movement: Asked::new(capture.amount, &capture.reference, &capture.external_id),
                    ..Subject::hold(capture.hold_id)
                };
                ("capture", subject)
            }
            Self::ReleaseHold(release) => ("release", Subject::hold(release.hold_id)),
            Self::ExtendHold(extend) => ("extend", Subject::hold(extend.hold_id)),
            Self::Reverse(reverse) => {
                let subject = Subject {
                    transaction: Some(reverse.transaction_id),
                    movement: Asked::new(reverse.amount, &reverse.reference, &reverse.external_id),
                    ..Subject::default()
                };
                ("reversal", subject)
            }
            Self::Change(change) => {
                let subject = Subject::wallet(change.wallet_id);
                match change.change {
                    Change::Freeze => ("freeze", subject),
                    Change::Unfreeze => ("unfreeze", subject),
                    Change::Close => ("close", subject),
                    Change::SetOverdraftLimit(_) => ("overdraft_limit", subject),
                    Change::Details(_) => ("change", subject),
                    Change::ErasePersonalData => {
                        let erases = true;
                        ("erase", Subject { erases, ..subject })
                    }
                }
            }
            Self::ExpireHolds(wallet_id) => ("expire", Subject::wallet(*wallet_id)),
        }
    }

    /// The bounded name used in metrics and answers.
    pub fn kind(&self) -> &'static str {
        self.subject().0
    }

    /// The wallets that the command itself names, the source first. A hold or a transaction stands for more: see
    /// [`Command::hold`] and [`Command::transaction`].
    pub fn wallets(&self) -> impl Iterator<Item = WalletId> {
        self.subject().1.wallets.into_iter().flatten()
    }

    /// The hold whose wallet the command touches.
    pub fn hold(&self) -> Option<HoldId> {
        self.subject().1.hold
    }

    /// Any hold the command names, including one that it would place, whose name may be taken.
    pub fn named_hold(&self) -> Option<HoldId> {
        let (_, subject) = self.subject();
        subject.places.or(subject.hold)
    }

    /// The hold that the command would place, and the wallet that gets it.
    pub fn places(&self) -> Option<(HoldId, WalletId)> {
        let (_, subject) = self.subject();
        subject.places.zip(subject.wallets[0])
    }

    /// The wallet that the command would create, with its name.
    pub fn creates(&self) -> Option<&CreateWallet> {
        self.subject().1.creates
    }

    /// The wallet whose personal data the command erases.
    pub fn erases(&self) -> Option<WalletId> {
        let (_, subject) = self.subject();
        subject.wallets[0].filter(|_| subject.erases)
    }

    /// The transaction whose wallets the command touches.
    pub fn transaction(&self) -> Option<Uuid> {
        self.subject().1.transaction
    }

    /// What the command asks for, if it moves money.
    pub fn movement(&self) -> Option<Asked<'_>> {
        self.subject().1.movement
    }

    /// The caller's own name for the movement, if the command is one and has a name.
    pub fn movement_id(&self) -> Option<&str> {
        self.movement()?.external_id
    }

    /// All wallets that the command touches, the payer first as far as the command says. The caller looks up the
    /// wallets behind a hold or a transaction; the command is rejected for one that does not exist.
    pub fn touched<Wallets: IntoIterator<Item = WalletId>>(
        &self,
        wallet_of_hold: impl Fn(HoldId) -> Option<WalletId>,
        wallets_of_transaction: impl Fn(Uuid) -> Option<Wallets>,
    ) -> Result<Vec<WalletId>, Rejection> {
        let mut wallets = Vec::with_capacity(2);
        if let Some(hold) = self.hold() {
            wallets.push(wallet_of_hold(hold).ok_or(Rejection::HoldNotFound(hold))?);
        }
        if let Some(transaction) = self.transaction() {
            wallets.extend(
                wallets_of_transaction(transaction).ok_or(Rejection::TransactionNotFound(transaction))?,
            );
        }
        wallets.extend(self.wallets());
        Ok(wallets)
    }
}
