//! Moves money from one wallet to another.

use uuid::Uuid;
use wallex_domain::{Command, WalletId};
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Movement;
use crate::fields::Fields;
use crate::request::{Expected, Given, OwnRoute, Request, Target};

pub(crate) struct Transfer {
    from: Uuid,
    to: Uuid,
    movement: Movement,
}

impl Request for Transfer {
    const TYPE: &'static str = "transfer";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/transfers",
        "transfers",
        "transfer",
        "Moves money from one wallet to another.",
    );
    const TARGET: Option<Target> = None;
    type Body = Self;
    const ABOUT: &'static str = "Money from one wallet to another.";
    const EXPECTS: Option<Expected> = Some(Expected {
        header: "Only if the source wallet has this version, as in the ETag header",
        ..Expected::PAYER
    });
    const ANSWER: &'static Shape = &answer::TRANSFER;
    const DONE: &'static str = "Transferred";
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::ExternalIdTaken,
        Code::WalletFrozen,
        Code::WalletClosed,
        Code::InsufficientFunds,
        Code::CurrencyMismatch,
        Code::SameWallet,
        Code::BalanceOverflow,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let from = fields.take("from", "Wallet that pays.");
        let to = fields.take("to", "Wallet that receives; of the same currency.");
        let movement = Movement::read(fields);
        Some(Self {
            from: from?,
            to: to?,
            movement: movement?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        let Movement { amount, said } = body.movement;
        said.beside(|reference, external_id, personal| {
            Command::Transfer(wallex_domain::Transfer {
                from: WalletId(body.from),
                to: WalletId(body.to),
                amount,
                reference,
                external_id,
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}
