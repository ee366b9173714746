//! Lets money leave a frozen wallet again.

use wallex_domain::Change;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};

pub(crate) struct Unfreeze;

impl Request for Unfreeze {
    const TYPE: &'static str = "unfreeze";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets/{id}/unfreeze",
        "wallets",
        "unfreezeWallet",
        "Ends the freezing of a wallet.",
    );
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Personal;
    const ABOUT: &'static str = Personal::ABOUT;
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::WalletNotFrozen,
        Code::WalletClosed,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Personal> {
        Personal::read(fields)
    }

    fn item(body: Personal, given: Given<'_>) -> Result<Item, Problem> {
        given.change(Change::Unfreeze, body)
    }
}
