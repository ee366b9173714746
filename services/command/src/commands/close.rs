//! Closes a wallet.

use axum::response::Response;
use wallex_domain::Change;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, Request, Sent, Target};

pub(crate) struct Close;

impl Request for Close {
    const TYPE: &'static str = "close";
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

/// Closes a wallet for good. Its balance must be 0 and nothing may be held.
#[utoipa::path(
    post,
    path = "/v1/wallets/{id}/close",
    tag = "wallets",
    operation_id = "closeWallet"
)]
pub(crate) async fn close(sent: Sent<Close>) -> Result<Response, Problem> {
    sent.run().await
}
