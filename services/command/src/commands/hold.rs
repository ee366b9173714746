//! Sets a wallet's money aside.

use jiff::Timestamp;
use uuid::Uuid;
use wallex_domain::{Amount, Command, HoldId, PlaceHold, WalletId};
use wallex_journal::append::Item;
use wallex_journal::route::derived_hold_id;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::headers::Origin;
use crate::request::{Given, OwnRoute, Request, Target};
use crate::value::Name;

pub(crate) struct Hold {
    id: Option<Uuid>,
    amount: Amount,
    expires_at: Option<Timestamp>,
    reference: Option<Name>,
    personal: Personal,
}

impl Request for Hold {
    const TYPE: &'static str = "hold";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets/{id}/holds",
        "holds",
        "placeHold",
        "Sets money of a wallet aside.",
    );
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Self;
    const ABOUT: &'static str = "Money set aside: it stays in the balance and is not available.";
    const ANSWER: &'static Shape = &answer::HOLD;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::HoldExists,
        Code::WalletFrozen,
        Code::WalletClosed,
        Code::InsufficientFunds,
        Code::ExpiryPassed,
        Code::TooManyHolds,
        Code::BalanceOverflow,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.take(
            "id",
            "The hold's id. Without one, the same Idempotency-Key always means the same new id.",
        );
        let amount = fields.take("amount", "Minor units, 1 to 9000000000000000.");
        let expires_at = fields.take(
            "expires_at",
            "From this time on the hold cannot be captured and its money is available again. Without one the hold\n\
             stays until it is captured or released.",
        );
        let reference = fields.take("reference", "Your own name of the hold; may repeat. Up to 255 characters. Kept for good: not for personal data.");
        let personal = Personal::read(fields);
        Some(Self {
            id: id?,
            amount: amount?,
            expires_at: expires_at?,
            reference: reference?,
            personal: personal?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        let Origin { caller, key, index } = given.origin;
        let hold_id = body
            .id
            .map_or_else(|| derived_hold_id(caller, key, index), HoldId);
        body.personal.beside(|personal| {
            Command::PlaceHold(PlaceHold {
                hold_id,
                wallet_id: WalletId(given.target),
                amount: body.amount,
                expires_at: body.expires_at.map(Timestamp::as_microsecond),
                reference: body.reference.map(Into::into),
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}
