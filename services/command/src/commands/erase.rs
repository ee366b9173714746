//! Erases personal data.

use wallex_domain::Change;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Expected, Given, OwnRoute, Request, Target};

pub(crate) struct Erase {}

impl Request for Erase {
    const TYPE: &'static str = "erase";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets/{id}/erase",
        "wallets",
        "eraseWallet",
        "Erases a wallet's personal data: owner, descriptions and metadata up to now, on both sides of its movements. Amounts,\n\
         references and the hash chain stay.",
    );
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Self;
    const ABOUT: &'static str = "The body of an erasure: it says nothing.";
    const ABOUT_IN_BATCH: &'static str = "An erasure as a command of a batch.";
    const EXPECTS: Option<Expected> = Some(Expected {
        header: "Only if the wallet has this version, as in the ETag header",
        field: "Only if the wallet has this version.",
    });
    const ANSWER: &'static Shape = &answer::WALLET;
    const DONE: &'static str = "Erased";
    const REJECTIONS: &'static [Code] = &[Code::WalletNotFound, Code::VersionMismatch];

    fn read(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self {})
    }

    fn item(_: Self, given: Given<'_>) -> Result<Item, Problem> {
        given.change(Change::ErasePersonalData, Personal::NOTHING)
    }
}
