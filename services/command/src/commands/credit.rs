//! Adds money from outside to a wallet.

use axum::response::Response;
use wallex_domain::Command;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Movement;
use crate::fields::Fields;
use crate::request::{Given, Request, Sent, Target};

pub(crate) struct Credit;

impl Request for Credit {
    const TYPE: &'static str = "credit";
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Movement;
    const ABOUT: &'static str = Movement::ABOUT;
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::ExternalIdTaken,
        Code::WalletClosed,
        Code::BalanceOverflow,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Movement> {
        Movement::read(fields)
    }

    fn item(body: Movement, given: Given<'_>) -> Result<Item, Problem> {
        given.movement(Command::Credit, body)
    }
}

/// Adds money from outside to a wallet.
#[utoipa::path(
    post,
    path = "/v1/wallets/{id}/credits",
    tag = "wallets",
    operation_id = "creditWallet"
)]
pub(crate) async fn credit(sent: Sent<Credit>) -> Result<Response, Problem> {
    sent.run().await
}
