//! Sets how far a wallet may be overdrawn.

use wallex_domain::Change;
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};
use crate::value::MinorUnits;

pub(crate) struct OverdraftLimit {
    overdraft_limit: MinorUnits,
    personal: Personal,
}

impl Request for OverdraftLimit {
    const TYPE: &'static str = "overdraft_limit";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/wallets/{id}/overdraft-limit",
        "wallets",
        "setOverdraftLimit",
        "Sets how far below zero the available balance of a wallet may go.",
    );
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Self;
    const ABOUT: &'static str = "How far below zero the available balance may go.";
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[
        Code::WalletNotFound,
        Code::VersionMismatch,
        Code::WalletClosed,
        Code::OverdraftInUse,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let overdraft_limit = fields.take("overdraft_limit", "Minor units, 0 to 9000000000000000.");
        let personal = Personal::read(fields);
        Some(Self {
            overdraft_limit: overdraft_limit?,
            personal: personal?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        given.change(Change::SetOverdraftLimit(body.overdraft_limit.0), body.personal)
    }
}
