//! Closes a wallet.

use wallex_domain::Change;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};

pub(crate) struct Close;

impl Request for Close {
    const TYPE: &'static str = "close";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets/{id}/close",
        "wallets",
        "closeWallet",
        "Closes a wallet for good. Its balance must be 0 and nothing may be held.",
    );
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Personal;
    const ABOUT: &'static str = Personal::ABOUT;
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::WalletNotEmpty,
        Code::WalletClosed,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Personal> {
        Personal::read(fields)
    }

    fn item(body: Personal, given: Given<'_>) -> Result<Item, Problem> {
        given.change(Change::Close, body)
    }
}
