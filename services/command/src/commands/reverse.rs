//! Reverses a transaction.

use wallex_domain::{Amount, Command, Reverse};
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Said;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};

pub(crate) struct Reversal {
    amount: Option<Amount>,
    said: Said,
}

impl Request for Reversal {
    const TYPE: &'static str = "reversal";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/transactions/{id}/reversals",
        "transactions",
        "reverseTransaction",
        "Takes a transaction back, as a whole or in part. Who received the money pays it; several reversals may add up to\n\
         the transaction's amount.",
    );
    const TARGET: Option<Target> = Some(Target::TRANSACTION);
    type Body = Self;
    const ABOUT: &'static str = "Takes a transaction back, as a whole or in part.";
    const ANSWER: &'static Shape = &answer::REVERSAL;
    const REJECTIONS: &'static [Code] = &[
        Code::TransactionNotFound,
        Code::VersionMismatch,
        Code::ExternalIdTaken,
        Code::WalletFrozen,
        Code::WalletClosed,
        Code::NotReversible,
        Code::ReversalTooLarge,
        Code::InsufficientFunds,
        Code::BalanceOverflow,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = fields.take(
            "amount",
            "Minor units; what is left of the transaction when missing.",
        );
        let said = Said::read(
            fields,
            "Your own name of the reversal; may repeat. Up to 255 characters. Kept for good: not for personal data.",
        );
        Some(Self {
            amount: amount?,
            said: said?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        body.said.beside(|reference, external_id, personal| {
            Command::Reverse(Reverse {
                transaction_id: given.target,
                amount: body.amount,
                reference,
                external_id,
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}
