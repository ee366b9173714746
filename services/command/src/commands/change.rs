//! Changes a wallet's owner, description and metadata.

use utoipa::openapi::HttpMethod;
use wallex_domain::{Change, ChangeWallet, Command, Details, WalletId};
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::{Fields, Patch};
use crate::request::{Given, OwnRoute, Request, Target};
use crate::value::{Description, Metadata, Name};

pub(crate) struct ChangeDetails {
    owner: Patch<Name>,
    description: Patch<Description>,
    metadata: Patch<Metadata>,
}

impl Request for ChangeDetails {
    const TYPE: &'static str = "change";
    const ROUTE: OwnRoute = OwnRoute {
        method: HttpMethod::Patch,
        path: "/v1/wallets/{id}",
        tag: "wallets",
        id: "changeWallet",
        summary: "Changes a wallet's owner, description and metadata: those that are given, and null removes one.",
    };
    const TARGET: Option<Target> = Some(Target::WALLET);
    type Body = Self;
    const ABOUT: &'static str =
        "What to say about a wallet from now on, at least one of them. What is left out stays as it is.";
    const ANSWER: &'static Shape = &answer::WALLET;
    const REJECTIONS: &'static [Code] = &[Code::WalletNotFound, Code::VersionMismatch, Code::WalletClosed];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let owner = fields.take(
            "owner",
            "Whose wallet it is; null removes it; erasable. Up to 255 characters.",
        );
        let description = fields.take("description", "null removes it; erasable. Up to 1024 characters.");
        let metadata = fields.take(
            "metadata",
            "Replaces all of it; null removes it; erasable. Up to 64 keys, 16 levels and 16 KiB of JSON. Its numbers are\n\
             those that a 64-bit integer or a double holds exactly.",
        );
        let body = Self {
            owner: owner?,
            description: description?,
            metadata: metadata?,
        };
        if body.details() == Details::default() {
            fields.refuse("", "must have at least one of owner, description and metadata");
        }
        Some(body)
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        let details = body.details();
        let personal = Personal {
            description: body.description.into_value(),
            metadata: body.metadata.into_value(),
        };
        personal.and_owner_beside(body.owner.into_value(), |personal| {
            Command::Change(ChangeWallet {
                wallet_id: WalletId(given.target),
                change: Change::Details(details),
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}

impl ChangeDetails {
    fn details(&self) -> Details {
        Details {
            owner: self.owner.is_change(),
            description: self.description.is_change(),
            metadata: self.metadata.is_change(),
        }
    }
}
