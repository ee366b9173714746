//! Stops money from leaving a wallet.

use axum::response::Response;
use wallex_domain::Change;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, Request, Sent, Target};

pub(crate) struct Freeze;

impl Request for Freeze {
    const TYPE: &'static str = "freeze";
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Personal;
    const ABOUT: &'static str = Personal::ABOUT;
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::WalletFrozen,
        Code::WalletClosed,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Personal> {
        Personal::read(fields)
    }

    fn item(body: Personal, given: Given<'_>) -> Result<Item, Problem> {
        given.change(Change::Freeze, body)
    }
}

/// Freezes a wallet: no money leaves it until it is unfrozen; it still receives.
#[utoipa::path(
    post,
    path = "/v1/wallets/{id}/freeze",
    tag = "wallets",
    operation_id = "freezeWallet"
)]
pub(crate) async fn freeze(sent: Sent<Freeze>) -> Result<Response, Problem> {
    sent.run().await
}
