//! Takes money from a hold.

use uuid::Uuid;
use wallex_domain::{Amount, CaptureHold, Command, HoldId, WalletId};
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Said;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};

pub(crate) struct Capture {
    amount: Option<Amount>,
    to: Option<Uuid>,
    said: Said,
}

impl Request for Capture {
    const TYPE: &'static str = "capture";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/holds/{id}/capture",
        "holds",
        "captureHold",
        "Takes what a hold has set aside, as a whole or in part; the rest becomes available again.",
    );
    const TARGET: Option<Target> = Some(Target::HOLD);
    type Body = Self;
    const ABOUT: &'static str =
        "Takes what a hold has set aside; what is left of it becomes available again.";
    const ANSWER: &'static Shape = &answer::CAPTURE;
    const REJECTIONS: &'static [Code] = &[
        Code::HoldNotFound,
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::ExternalIdTaken,
        Code::HoldClosed,
        Code::WalletFrozen,
        Code::WalletClosed,
        Code::CaptureTooLarge,
        Code::CurrencyMismatch,
        Code::SameWallet,
        Code::BalanceOverflow,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = fields.take("amount", "Minor units; the whole hold when missing.");
        let to = fields.take(
            "to",
            "The wallet that gets the money; it goes outside when missing.",
        );
        let said = Said::read(fields, Said::REFERENCE);
        Some(Self {
            amount: amount?,
            to: to?,
            said: said?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        body.said.beside(|reference, external_id, personal| {
            Command::CaptureHold(CaptureHold {
                hold_id: HoldId(given.target),
                amount: body.amount,
                to: body.to.map(WalletId),
                reference,
                external_id,
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}
