//! Takes money out of a wallet to the outside.

use wallex_domain::Command;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Movement;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};

pub(crate) struct Debit;

impl Request for Debit {
    const TYPE: &'static str = "debit";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets/{id}/debits",
        "wallets",
        "debitWallet",
        "Takes money out of a wallet.",
    );
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Movement;
    const ABOUT: &'static str = Movement::ABOUT;
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::ExternalIdTaken,
        Code::WalletFrozen,
        Code::WalletClosed,
        Code::InsufficientFunds,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Movement> {
        Movement::read(fields)
    }

    fn item(body: Movement, given: Given<'_>) -> Result<Item, Problem> {
        given.movement(Command::Debit, body)
    }
}
