//! Takes money out of a wallet to the outside.

use axum::response::Response;
use wallex_domain::Command;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Movement;
use crate::fields::Fields;
use crate::request::{Given, Request, Sent, Target};

pub(crate) struct Debit;

impl Request for Debit {
    const TYPE: &'static str = "debit";
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

/// Takes money out of a wallet.
#[utoipa::path(
    post,
    path = "/v1/wallets/{id}/debits",
    tag = "wallets",
    operation_id = "debitWallet"
)]
pub(crate) async fn debit(sent: Sent<Debit>) -> Result<Response, Problem> {
    sent.run().await
}
